using System.Collections.Concurrent;
using System.Text;
using System.Text.RegularExpressions;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.Tests.Tokens;

/// <summary>The reference vocabularies beside the repository, loaded once.</summary>
internal static partial class Vocabularies
{
    private static readonly ConcurrentDictionary<string, Lazy<Tokenizer>> Loaded = new();

    /// <summary>The vocabulary-only GGUF file of that name.</summary>
    public static Tokenizer Gguf(string name)
    {
        string path = TestData.Shared($"data/tokenizers/ggml-vocab-{name}.gguf");
        return Loaded.GetOrAdd(name, _ => new Lazy<Tokenizer>(() =>
        {
            using GgufFile file = GgufFile.Open(path);
            return Tokenizer.FromGguf(file.Metadata);
        })).Value;
    }

    /// <summary>Llama 4's ranks with the special tokens of Muse Glimmer that matter here.</summary>
    public static Tokenizer Llama4()
    {
        string path = TestData.Shared("data/tokenizers/llama4/tokenizer.model");
        return Loaded.GetOrAdd("llama4", _ => new Lazy<Tokenizer>(() => Tokenizer.FromTiktoken(path, "llama4", new Dictionary<string, int>
        {
            ["<|begin_of_text|>"] = 200000, ["<|end_of_text|>"] = 200001, ["<|eom|>"] = 200007, ["<|eot|>"] = 200008,
            ["<|start|>"] = 200022, ["<|message|>"] = 200023,
        }))).Value;
    }

    /// <summary>OpenAI's o200k ranks.</summary>
    public static Tokenizer O200k()
    {
        string path = TestData.Shared("data/tokenizers/openai/o200k_base.tiktoken");
        return Loaded.GetOrAdd("o200k", _ => new Lazy<Tokenizer>(() => Tokenizer.FromTiktoken(path, "gpt-4o", new Dictionary<string, int>
        {
            ["<|endoftext|>"] = 199999, ["<|endofprompt|>"] = 200018,
        }))).Value;
    }

    /// <summary>The vocabulary that pairs with the vectors of that name.</summary>
    public static Tokenizer ForVectors(string name) => name switch
    {
        "llama4" => Llama4(),
        "gpt-4o" => O200k(),
        // The same tokens and merges under another pre-tokenizer name.
        "deepseek-r1-qwen" => Gguf("qwen2"),
        _ => Gguf(name),
    };

    /// <summary>The texts and ids of a vector file.</summary>
    public static List<(string Text, int[] Ids)> Vectors(string name)
    {
        string stem = $"data/tokenizers/ggml-vocab-{name}.gguf";
        string[] texts = Encoding.UTF8.GetString(File.ReadAllBytes(TestData.Shared(stem + ".inp"))).Split("\n__ggml_vocab_test__\n");
        string[] lines = File.ReadAllLines(TestData.Shared(stem + ".out"));
        // The separator also ends the last text.
        Assert.Equal(lines.Length, texts.Length - 1);
        return [.. lines.Select((line, i) => (texts[i],
            line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse).ToArray()))];
    }

    /// <summary>A corpus as text.</summary>
    public static string Corpus(string name) =>
        Encoding.UTF8.GetString(File.ReadAllBytes(TestData.Shared("data/tokenizers/corpora/" + name)));

    /// <summary>
    /// A corpus as the reference saw it when the long-text figures were made: its command line takes backslash escapes in a
    /// text file for the characters they name, which changes 10 places of the hostile corpus.
    /// </summary>
    public static string CorpusAsReferenceReadIt(string name) => Escape().Replace(Corpus(name), match => match.Value[1] switch
    {
        'n' => "\n",
        'r' => "\r",
        't' => "\t",
        char c => c.ToString(),
    });

    [GeneratedRegex(@"\\[nrt'""\\]")]
    private static partial Regex Escape();
}
