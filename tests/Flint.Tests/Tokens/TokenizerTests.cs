using System.Text;
using Flint.Tests.Weights;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.Tests.Tokens;

/// <summary>Special tokens, beginnings and ends, odd text, round trips, faults; over small vocabularies made here.</summary>
public sealed class TokenizerTests
{
    private static readonly string[] Bytes = [.. Enumerable.Range(0, 256).Select(b => ByteAlphabet.CharOf((byte)b).ToString())];

    [Fact]
    public void Special_tokens_are_parsed_only_when_asked_and_user_defined_always()
    {
        Tokenizer tokenizer = ByteLevel(["<|a|>", "<|a|>b", "<think>"], [3, 3, 4]);
        Assert.Equal(
            [.. Plain(tokenizer, "x "), 256, .. Plain(tokenizer, "y"), 258],
            tokenizer.Encode("x <|a|>y<think>", addSpecial: false, parseSpecial: true));
        Assert.Equal([257], tokenizer.Encode("<|a|>b", false, true));
        Assert.Equal(
            [.. Plain(tokenizer, "<|a|>"), 258],
            tokenizer.Encode("<|a|><think>", false, false));
        int[] ids = [258, 256, .. Plain(tokenizer, "é")];
        Assert.Equal("<think><|a|>é", tokenizer.Decode(ids));
        Assert.Equal("<think>é", tokenizer.Decode(ids, showSpecial: false));
        Assert.True(tokenizer.IsSpecial(256));
        Assert.False(tokenizer.IsSpecial(258));
        Assert.True(tokenizer.TryId("<|a|>", out int id) && id == 256 && tokenizer.Text(256) == "<|a|>");
    }

    [Theory]
    [InlineData("gpt-2", null, null, false, false)]
    [InlineData("llama-bpe", null, null, true, false)]
    [InlineData("tekken", null, null, true, false)]
    [InlineData("llama-bpe", false, true, false, true)]
    [InlineData("qwen2", true, null, true, false)]
    public void Bos_and_eos_are_added_as_the_file_or_the_pre_tokenizer_says(string pre, bool? addBos, bool? addEos, bool bos, bool eos)
    {
        var tokenizer = new Tokenizer(new VocabularySource
        {
            Model = "gpt2", Pre = pre, Tokens = [.. Bytes, "<s>", "</s>"], Types = [.. Enumerable.Repeat(1, 256), 3, 3], Merges = [],
            Bos = 256, Eos = 257, AddBos = addBos, AddEos = addEos,
        });
        int[] expected = [.. bos ? new[] { 256 } : [], .. Plain(tokenizer, "hi"), .. eos ? new[] { 257 } : []];
        Assert.Equal(expected, tokenizer.Encode("hi", addSpecial: true, parseSpecial: false));
        Assert.Equal(Plain(tokenizer, "hi"), tokenizer.Encode("hi", addSpecial: false, parseSpecial: false));
        var list = new List<int> { 7 };
        tokenizer.Encode("<s>hi", parseSpecial: true, list);
        Assert.Equal([7, 256, .. Plain(tokenizer, "hi")], list);
    }

    [Fact]
    public void Muse_never_ends_at_eom_and_llama4_does()
    {
        string[] names = ["<|begin_of_text|>", "<|end_of_text|>", "<|eom|>", "<|eot|>", "<|start|>", "<|message|>"];
        Tokenizer Of(string architecture, int? eom) => new(new VocabularySource
        {
            Model = "gpt2", Pre = "llama4", Architecture = architecture, Merges = [],
            Tokens = [.. Bytes, .. names], Types = [.. Enumerable.Repeat(1, 256), 3, 3, 3, 3, 3, 3], Bos = 256, Eos = 257, Eom = eom,
        });
        foreach (int? eom in new int?[] { null, 258 })
        {
            Tokenizer muse = Of("muse-glimmer", eom);
            Assert.Equal([257, 259], muse.EndOfGeneration.Order());
            Assert.Equal((259, 258), (muse.Eot, muse.Eom));
            // A user's text never opens a channel.
            Assert.DoesNotContain(260, muse.Encode("<|start|>", false, false));
            Assert.Equal([257, 258, 259], Of("llama4", eom).EndOfGeneration.Order());
        }
    }

    [Fact]
    public void Ends_of_generation_are_found_by_name()
    {
        Tokenizer chatMl = ByteLevel(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_pad|>"], [3, 3, 4, 3]);
        Assert.Equal([256, 258, 259], chatMl.EndOfGeneration.Order());
        Assert.Equal(258, chatMl.Eot);
        Assert.True(chatMl.IsSpecial(258));
        // An end of sequence that is ordinary text by the file's word stays text.
        var newline = new Tokenizer(new VocabularySource { Model = "gpt2", Pre = "gpt-2", Tokens = Bytes, Merges = [], Eos = '\n' });
        Assert.Contains('\n', newline.EndOfGeneration);
        Assert.Equal("a\n", newline.Decode(newline.Encode("a\n", false, true), showSpecial: false));
        Tokenizer harmony = ByteLevel(["<|return|>", "<|call|>", "<|end|>"], [3, 3, 3]);
        Assert.Equal([256, 257], harmony.EndOfGeneration.Order());
        Assert.Equal([256], ByteLevel(["<|end|>", "</s>"], [3, 1]).EndOfGeneration.Order());
    }

    [Fact]
    public void Sentence_piece_adds_a_space_at_the_start_and_after_special_tokens_and_takes_it_away()
    {
        Tokenizer tokenizer = SentencePiece(["▁", "h", "i", "hi", "▁hi", "<x>"], [1, 1, 1, 1, 1, 4]);
        Assert.Equal([1, 263], tokenizer.Encode("hi", addSpecial: true, parseSpecial: true));
        Assert.Equal([263, 2, 263], tokenizer.Encode("hi</s>hi", false, true));
        Assert.Equal([263, 264, 263], tokenizer.Encode("hi<x>hi", false, false));
        Assert.Equal([], tokenizer.Encode("", false, false));
        foreach (string text in new[] { "hi", " hi", "  hi hi ", "hi</s> hi", "hi<x>hi", " ", "中\n😀" })
            foreach (bool special in new[] { true, false })
                Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text, special, true).AsSpan(special ? 1 : 0)));
        Assert.Equal("hi", tokenizer.Decode(tokenizer.Encode("hi", true, true), showSpecial: false));
        Assert.Equal("<s>hi", tokenizer.Decode([1, 263]));
        // Bytes of text without a token.
        Assert.Equal([259, 3 + 0xE4, 3 + 0xB8, 3 + 0xAD], tokenizer.Encode("中", false, false));
        Assert.Equal(" "u8.ToArray(), tokenizer.Bytes(259).ToArray());
    }

    [Fact]
    public void Sentence_piece_without_bytes_falls_back_to_unknown_and_can_squeeze_spaces()
    {
        var tokenizer = new Tokenizer(new VocabularySource
        {
            Model = "llama", Tokens = ["<unk>", "<s>", "</s>", "▁", "a", "b"], Types = [2, 3, 3, 1, 1, 1], Scores = new float[6],
            AddSpacePrefix = false, AddBos = false, RemoveExtraWhitespaces = true,
        });
        Assert.Equal([4, 3, 5], tokenizer.Encode("  a   b ", true, false));
        Assert.Equal([4, 0], tokenizer.Encode("a?", true, false));
        Assert.Equal([], tokenizer.Encode("   ", true, false));
        Assert.Equal("", tokenizer.Decode([0], showSpecial: false));
        Assert.Equal("a b", tokenizer.Decode([4, 3, 5]));
    }

    [Fact]
    public void Merges_through_texts_that_are_no_tokens_end_in_bytes()
    {
        var tokenizer = new Tokenizer(new VocabularySource
        {
            // "ab" is not a token; "abc" is, and "abd" is not.
            Model = "gpt2", Pre = "gpt-2", Tokens = [.. Bytes, "abc"], Merges = ["a b", "ab c", "ab d"],
        });
        Assert.Equal([256], tokenizer.Encode("abc", false, false));
        Assert.Equal(['a', 'b', 'd'], tokenizer.Encode("abd", false, false));
        Assert.Equal(['a', 'b'], tokenizer.Encode("ab", false, false));
    }

    [Fact]
    public void Lone_surrogates_count_as_the_replacement_character()
    {
        Tokenizer tokenizer = ByteLevel([], []);
        foreach (string text in new[] { "a\uD800b", "\uDC00", "x\uD83D", "\uD83D\uD83D\uDE00" })
        {
            string expected = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
            Assert.Equal(expected, tokenizer.Decode(tokenizer.Encode(text, false, false)));
        }
        Assert.Equal("\uFEFFa\uFFFD", tokenizer.Decode(tokenizer.EncodeUtf8([0xEF, 0xBB, 0xBF, (byte)'a', 0xFF], false, false)));
    }

    [Theory]
    [InlineData("gpt-2")]
    [InlineData("llama4")]
    [InlineData("deepseek-llm")]
    public void A_long_run_of_one_character_is_not_quadratic(string pre)
    {
        var tokenizer = new Tokenizer(new VocabularySource
        {
            Model = "gpt2", Pre = pre, Tokens = [.. Bytes, "aa", "aaa", "ĠĠ", "ĠĠĠĠ"], Merges = ["a a", "aa a", "Ġ Ġ", "ĠĠ ĠĠ"],
        });
        foreach (string text in Runs()) Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text, false, false)));
    }

    [Fact]
    public void A_long_run_of_one_character_is_not_quadratic_in_sentence_piece()
    {
        Tokenizer tokenizer = SentencePiece(["▁", "a", "aa", "aaa", "▁▁", "▁▁▁▁"], [1, 1, 1, 1, 1, 1]);
        foreach (string text in Runs()) Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text, false, false)));
    }

    private static IEnumerable<string> Runs()
    {
        const int length = 1 << 19;
        yield return new string('a', length);
        yield return new string('A', length);
        yield return new string(' ', length);
        yield return new string('\n', length / 4);
        yield return new string(' ', length) + "क ";
        yield return new string('<', length / 4);
    }

    [Fact]
    public void Random_texts_round_trip_and_threads_do_not_disturb_each_other()
    {
        Tokenizer tokenizer = ByteLevel(["he", "ll", "Ġa"], [1, 1, 1], ["h e", "l l", "Ġ a"]);
        var random = new Random(3);
        string[] texts = [.. Enumerable.Range(0, 400).Select(_ => Samples.AllPlanes(random, random.Next(0, 60)))];
        int[][] alone = [.. texts.Select(t => tokenizer.Encode(t, false, false))];
        for (int i = 0; i < texts.Length; i++) Assert.Equal(texts[i], tokenizer.Decode(alone[i]));
        Parallel.For(0, 4 * texts.Length, i => Assert.Equal(alone[i % texts.Length], tokenizer.Encode(texts[i % texts.Length], false, false)));
    }

    [Theory]
    [InlineData("llama-bpe")]
    [InlineData("qwen2")]
    [InlineData("qwen35")]
    [InlineData("gpt-2")]
    [InlineData("gpt-neox")]
    [InlineData("deepseek-llm")]
    [InlineData("deepseek-coder")]
    [InlineData("llama-spm")]
    [InlineData("llama4")]
    [InlineData("gpt-4o")]
    public void Random_texts_round_trip_on_real_vocabularies(string name)
    {
        Tokenizer tokenizer = Vocabularies.ForVectors(name);
        var random = new Random(17);
        for (int i = 0; i < 500; i++)
        {
            string text = Samples.AllPlanes(random, random.Next(0, 60));
            Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text, false, false)));
        }
    }

    [Fact]
    public void Control_characters_without_a_token_have_no_id()
    {
        Tokenizer falcon = Vocabularies.Gguf("falcon");
        Assert.True(falcon.TryId("a", out int a) & falcon.TryId("b", out int b) & falcon.TryId("ab", out int ab));
        Assert.Equal([ab], falcon.Encode("ab", false, false));
        Assert.Equal([a, b], falcon.Encode("a\u0003b", false, false));
    }

    [Fact]
    public void A_file_gives_what_its_keys_say()
    {
        using var folder = new TestFolder();
        string path = Path.Combine(folder.Path, "vocabulary.gguf");
        using (var writer = new GgufWriter(File.Create(path)))
        {
            writer.Add("general.architecture", "llama");
            writer.Add("tokenizer.ggml.model", "gpt2");
            writer.Add("tokenizer.ggml.pre", "qwen2");
            writer.Add("tokenizer.ggml.tokens", Bytes.Concat(["ab", "<s>", "</s>", "<pad>"]).ToArray());
            writer.Add("tokenizer.ggml.token_type", Enumerable.Repeat(1, 257).Concat([3, 3, 3]).ToArray());
            writer.Add("tokenizer.ggml.merges", new[] { "a b" });
            writer.Add("tokenizer.ggml.bos_token_id", 257u);
            writer.Add("tokenizer.ggml.eos_token_id", 258u);
            writer.Add("tokenizer.ggml.padding_token_id", 259u);
            writer.Add("tokenizer.ggml.unknown_token_id", uint.MaxValue);
            writer.Add("tokenizer.ggml.add_bos_token", true);
            writer.WriteHeader();
            writer.Finish();
        }
        using GgufFile file = GgufFile.Open(path);
        Tokenizer tokenizer = Tokenizer.FromGguf(file.Metadata);
        Assert.Equal((260, 257, 258, 259), (tokenizer.Count, tokenizer.Bos, tokenizer.Eos, tokenizer.Pad));
        Assert.Null(tokenizer.Unk);
        Assert.Equal([257, 256], tokenizer.Encode("ab", addSpecial: true, parseSpecial: false));
    }

    [Fact]
    public void Faulty_vocabularies_are_refused()
    {
        AssertRefused("unknown_tokenizer", new() { Model = "bert", Tokens = ["a"] });
        AssertRefused("vocabulary_size", new() { Model = "gpt2", Tokens = [], Merges = [] });
        AssertRefused("vocabulary_size", new() { Model = "gpt2", Tokens = ["a", "b"], Types = [1], Merges = [] });
        AssertRefused("vocabulary_size", new() { Model = "llama", Tokens = ["a", "b"] });
        AssertRefused("metadata_missing", new() { Model = "gpt2", Tokens = ["a"] });
        AssertRefused("unknown_pre_tokenizer", new() { Model = "gpt2", Pre = "x", Tokens = ["a"], Merges = [] });
        foreach (string merge in new[] { "", "ab", "a ", " a" })
            AssertRefused("merge_malformed", new() { Model = "gpt2", Tokens = ["a"], Merges = [merge] });

        static void AssertRefused(string code, VocabularySource source)
        {
            FlintException fault = Assert.Throws<FlintException>(() => new Tokenizer(source));
            Assert.Equal((FaultSide.ModelFile, code), (fault.Side, fault.Code));
        }
    }

    [Fact]
    public void Ids_outside_the_vocabulary_are_refused()
    {
        Tokenizer tokenizer = ByteLevel([], []);
        foreach (int id in new[] { -1, 256, int.MaxValue })
        {
            FlintException fault = Assert.Throws<FlintException>(() => tokenizer.Decode([id]));
            Assert.Equal((FaultSide.Caller, "token_out_of_range"), (fault.Side, fault.Code));
            Assert.Contains("256", fault.Message, StringComparison.Ordinal);
            Assert.Throws<FlintException>(() => tokenizer.Bytes(id).Length);
            Assert.Throws<FlintException>(() => new Detokenizer(tokenizer, true).Push(id));
        }
    }

    private static int[] Plain(Tokenizer tokenizer, string text)
    {
        var ids = Encoding.UTF8.GetBytes(text).Select(b => (int)b).ToArray();
        Assert.All(ids, id => Assert.Equal(Bytes[id], tokenizer.Text(id)));
        return ids;
    }

    private static Tokenizer ByteLevel(string[] more, int[] types, string[]? merges = null) => new(new VocabularySource
    {
        Model = "gpt2", Pre = "gpt-2", Tokens = [.. Bytes, .. more], Types = [.. Enumerable.Repeat(1, 256), .. types], Merges = merges ?? [],
    });

    private static Tokenizer SentencePiece(string[] more, int[] types) => new(new VocabularySource
    {
        Model = "llama",
        Tokens = ["<unk>", "<s>", "</s>", .. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>"), .. more],
        Types = [2, 3, 3, .. Enumerable.Repeat(6, 256), .. types],
        Scores = [.. Enumerable.Range(0, 259 + more.Length).Select(i => (float)i)],
    });
}
