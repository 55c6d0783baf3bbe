using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using Flint.Tokens;

namespace Flint.Tests.Tokens;

/// <summary>Ids of reference texts are the reference's, and decode back.</summary>
public sealed class VectorTests
{
    public static TheoryData<string> Names =>
        ["llama-bpe", "llama-spm", "qwen2", "qwen35", "falcon", "gpt-2", "deepseek-llm", "deepseek-coder", "starcoder",
            "llama4", "gpt-4o", "deepseek-r1-qwen"];

    public static TheoryData<string> LongNames =>
        ["llama-bpe", "llama-spm", "qwen2", "qwen35", "falcon", "gpt-2", "gpt-neox", "deepseek-llm", "deepseek-coder", "starcoder"];

    [Theory]
    [MemberData(nameof(Names))]
    public void Reference_texts_encode_to_the_reference_ids_and_decode_back(string name)
    {
        Tokenizer tokenizer = Vocabularies.ForVectors(name);
        List<(string Text, int[] Ids)> vectors = Vocabularies.Vectors(name);
        Assert.True(vectors.Count > 40);
        foreach ((string text, int[] ids) in vectors)
        {
            Assert.Equal(ids, tokenizer.Encode(text, addSpecial: false, parseSpecial: false));
            Assert.Equal(text, tokenizer.Decode(ids));
        }
    }

    [Theory]
    [MemberData(nameof(LongNames))]
    public void Long_and_hostile_texts_encode_to_the_reference_ids(string name)
    {
        Tokenizer tokenizer = Vocabularies.Gguf(name);
        using JsonDocument expected = JsonDocument.Parse(File.ReadAllBytes(TestData.Shared("data/tokenizers/long-texts.json")));
        foreach (JsonProperty corpus in expected.RootElement.GetProperty(name).EnumerateObject())
        {
            string text = Vocabularies.CorpusAsReferenceReadIt(corpus.Name);
            int[] ids = tokenizer.Encode(text, addSpecial: false, parseSpecial: false);
            int[] first = Ints(corpus.Value.GetProperty("first")), last = Ints(corpus.Value.GetProperty("last"));
            Assert.Equal(first, ids[..first.Length]);
            Assert.Equal(last, ids[^last.Length..]);
            Assert.Equal(corpus.Value.GetProperty("count").GetInt32(), ids.Length);
            Assert.Equal(corpus.Value.GetProperty("sha256_int32le").GetString(),
                Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(ids.AsSpan()))));
            Assert.Equal(text, tokenizer.Decode(ids));
        }

        static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(e => e.GetInt32())];
    }
}
