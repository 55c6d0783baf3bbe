using System.Text;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.Tests.Tokens;

/// <summary>A learnt vocabulary is the one that the plain method gives, loads from a file, and encodes as its merges say.</summary>
public sealed class BpeTrainerTests
{
    private static readonly string[] Specials =
        ["<|begin_of_text|>", "<|end_of_text|>", "<|eom|>", "<|eot|>", "<|start|>", "<|message|>", "<|finetune_right_pad|>"];

    private static readonly string[] Texts = [.. MakeTexts(80, 11)];

    [Fact]
    public void The_merges_are_those_of_the_plain_method()
    {
        for (int seed = 1; seed <= 4; seed++)
        {
            string[] texts = [.. MakeTexts(6, seed)];
            BpeVocabulary learnt = Learn(texts, 340, new BpeTrainerOptions());
            Assert.Equal(PlainMerges(texts, 340 - 256, mergeDigits: false), learnt.Merges);
        }
    }

    [Fact]
    public void A_pair_that_another_merge_brings_back_is_merged_at_once()
    {
        // Few letters and many words: the same text is spelt by several merges.
        var random = new Random(5);
        string[] texts = [string.Join(' ', Enumerable.Range(0, 600).Select(_ => new string([.. Enumerable.Range(0, random.Next(3, 9)).Select(_ => (char)('a' + random.Next(2)))])))];
        BpeVocabulary learnt = Learn(texts, 400, new BpeTrainerOptions { LeastCount = 1 });
        Assert.Equal(learnt.Merges.Count, learnt.Merges.Distinct().Count());
        Assert.Equal(learnt.Tokens.Count, learnt.Tokens.Distinct().Count());
        Assert.True(learnt.Merges.Count >= 400 - 256);
        CheckEncoding(learnt, texts);
    }

    [Fact]
    public void The_order_and_the_cut_of_texts_do_not_matter()
    {
        BpeVocabulary one = Learn(Texts, 500, new BpeTrainerOptions());
        BpeVocabulary two = Learn(Texts.Reverse(), 500, new BpeTrainerOptions());
        Assert.Equal(one.Tokens, two.Tokens);
        Assert.Equal(one.Merges, two.Merges);
    }

    [Fact]
    public void Parts_of_merges_are_tokens_and_digits_stay_single()
    {
        BpeVocabulary learnt = Learn(Texts, 600, new BpeTrainerOptions { Specials = Specials });
        Assert.Equal(600, learnt.Count);
        Assert.Equal(Specials, learnt.Tokens.Skip(600 - Specials.Length));
        var known = learnt.Tokens.ToHashSet();
        foreach (string merge in learnt.Merges)
        {
            string[] parts = merge.Split(' ');
            Assert.Equal(2, parts.Length);
            Assert.All([parts[0], parts[1], parts[0] + parts[1]], part => Assert.Contains(part, known));
        }
        Assert.All(learnt.Tokens.Where(t => t.Any(char.IsAsciiDigit)), t => Assert.Single(t));
        Tokenizer tokenizer = learnt.CreateTokenizer("muse-glimmer");
        Assert.Equal(4, tokenizer.Encode("2048", false, false).Length);

        BpeVocabulary merged = Learn(Texts, 600, new BpeTrainerOptions { MergeDigits = true });
        Assert.Contains(merged.Tokens, t => t.Length > 1 && t.All(char.IsAsciiDigit));
    }

    [Fact]
    public void The_vocabulary_loads_from_a_file_and_encodes_as_its_merges_say()
    {
        BpeVocabulary learnt = Learn(Texts, 700, new BpeTrainerOptions { Specials = Specials });
        string path = Path.GetTempFileName();
        try
        {
            using (var writer = new GgufWriter(File.Create(path)))
            {
                writer.Add("general.architecture", "muse-glimmer");
                foreach ((string key, object value) in learnt.Metadata()) writer.Add(key, value);
                writer.WriteHeader();
                writer.Finish();
            }
            using GgufFile file = GgufFile.Open(path);
            Tokenizer tokenizer = Tokenizer.FromGguf(file.Metadata);
            Assert.Equal((700, 693, 694, 695, 696, 699), (tokenizer.Count, tokenizer.Bos, tokenizer.Eos, tokenizer.Eom, tokenizer.Eot, tokenizer.Pad));
            Assert.True(tokenizer.AddBos);
            Assert.Equal([694, 696], tokenizer.EndOfGeneration.Order());
            foreach (string text in Texts) Assert.Equal(tokenizer.Encode(text, true, true), learnt.CreateTokenizer("muse-glimmer").Encode(text, true, true));
        }
        finally
        {
            File.Delete(path);
        }
        CheckEncoding(learnt, [.. Texts, "Ünïcode ☃ 漢字 \U0001F600 \u0000\u0007 \t\r\n  x", new string('a', 300)]);
    }

    [Fact]
    public void Special_tokens_in_texts_are_left_out()
    {
        string[] plain = [.. Texts.Select(t => t.Replace("<|eot|>", ""))];
        string[] marked = [.. plain.Select(t => t + "<|eot|>")];
        var options = new BpeTrainerOptions { Specials = ["<|eot|>"] };
        Assert.Equal(Learn(plain, 500, options).Merges, Learn(marked, 500, options).Merges);
    }

    [Fact]
    public void What_cannot_be_made_is_refused()
    {
        Assert.Equal("vocabulary_size", Assert.Throws<FlintException>(() => Learn(Texts, 262, new BpeTrainerOptions { Specials = Specials })).Code);
        Assert.Equal("too_little_text", Assert.Throws<FlintException>(() => Learn(["abab"], 300, new BpeTrainerOptions())).Code);
        Assert.Equal("unknown_pre_tokenizer", Assert.Throws<FlintException>(() => new BpeTrainer(new BpeTrainerOptions { Pre = "none" })).Code);
        Assert.Equal("invalid_special_token", Assert.Throws<FlintException>(() => new BpeTrainer(new BpeTrainerOptions { Specials = ["a", "a"] })).Code);
        var trainer = new BpeTrainer(new BpeTrainerOptions());
        trainer.Add("a \uD800 b");
        trainer.Add(new string('x', BpeTrainer.MaxWordBytes + 1));
        Assert.Equal(3, trainer.Words);
    }

    private static void CheckEncoding(BpeVocabulary learnt, IEnumerable<string> texts)
    {
        Tokenizer tokenizer = learnt.CreateTokenizer("muse-glimmer");
        var ranks = learnt.Merges.Select((merge, rank) => (merge, rank)).ToDictionary(m => m.merge, m => m.rank);
        var ids = learnt.Tokens.Select((text, id) => (text, id)).ToDictionary(t => t.text, t => t.id);
        foreach (string text in texts)
        {
            int[] got = tokenizer.Encode(text, false, false);
            Assert.Equal(text, tokenizer.Decode(got));
            Assert.Equal(Words(text).SelectMany(word => MergeByRank(word, ranks)).Select(t => ids[t]), got);
        }
    }

    /// <summary>Encoding as it is defined: merge the pair of lowest rank, everywhere, until none is left.</summary>
    private static List<string> MergeByRank(List<string> symbols, Dictionary<string, int> ranks)
    {
        while (true)
        {
            int best = int.MaxValue, at = -1;
            for (int i = 0; i + 1 < symbols.Count; i++)
                if (ranks.TryGetValue($"{symbols[i]} {symbols[i + 1]}", out int rank) && rank < best) (best, at) = (rank, i);
            if (at < 0) return symbols;
            symbols[at] += symbols[at + 1];
            symbols.RemoveAt(at + 1);
        }
    }

    /// <summary>Learning as it is defined: count all pairs anew, merge the most frequent, of equal ones that of lower ids.</summary>
    private static List<string> PlainMerges(IEnumerable<string> texts, int count, bool mergeDigits)
    {
        List<List<string>> words = [.. texts.SelectMany(Words)];
        var ids = Enumerable.Range(0, 256).ToDictionary(b => ByteAlphabet.CharOf((byte)b).ToString(), b => b);
        var merges = new List<string>();
        while (ids.Count < 256 + count)
        {
            var pairs = new Dictionary<(string Left, string Right), int>();
            foreach (List<string> word in words)
                for (int i = 0; i + 1 < word.Count; i++)
                    if (mergeDigits || !(word[i] + word[i + 1]).Any(char.IsAsciiDigit))
                        pairs[(word[i], word[i + 1])] = pairs.GetValueOrDefault((word[i], word[i + 1])) + 1;
            var (left, right) = pairs.OrderByDescending(p => p.Value).ThenBy(p => ids[p.Key.Left]).ThenBy(p => ids[p.Key.Right]).First().Key;
            merges.Add($"{left} {right}");
            ids.TryAdd(left + right, ids.Count);
            var ranks = merges.Select((merge, rank) => (merge, rank)).ToDictionary(m => m.merge, m => m.rank);
            foreach (List<string> word in words) MergeByRank(word, ranks);
        }
        return merges;
    }

    private static IEnumerable<List<string>> Words(string text)
    {
        var classes = new byte[text.Length];
        CharClass.Classify(text, classes);
        PieceList pieces = new(), spare = new();
        PreTokenizer.Named("llama4").Split(text, classes, ref pieces, ref spare);
        int start = 0;
        var words = new List<List<string>>();
        foreach (int end in pieces.Ends)
        {
            words.Add([.. Encoding.UTF8.GetBytes(text[start..end]).Select(b => ByteAlphabet.CharOf(b).ToString())]);
            start = end;
        }
        return words;
    }

    private static BpeVocabulary Learn(IEnumerable<string> texts, int size, BpeTrainerOptions options)
    {
        var trainer = new BpeTrainer(options);
        foreach (string text in texts) trainer.Add(text);
        return trainer.Train(size);
    }

    private static IEnumerable<string> MakeTexts(int count, int seed)
    {
        string[] words = ["walk", "talk", "the", "re", "ed", "ing", "tion", "café", "ï", "{\"key\": ", "}\n\n", "'s", "12", "1999", "3.50", "snow☃", "HTTP", "Ser", "ver", "ban", "ana", "st"];
        var random = new Random(seed);
        for (int i = 0; i < count; i++)
            yield return string.Join(' ', Enumerable.Range(0, 60).Select(_ => string.Concat(Enumerable.Range(0, random.Next(1, 5)).Select(_ => words[random.Next(words.Length)]))));
    }
}
