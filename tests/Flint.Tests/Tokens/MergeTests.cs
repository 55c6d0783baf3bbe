using Flint.Tokens;

namespace Flint.Tests.Tokens;

/// <summary>Merging is exact, short or long, and SentencePiece's cuts change nothing.</summary>
public sealed class MergeTests
{
    [Fact]
    public void Merges_are_lowest_rank_first_and_leftmost_at_any_length()
    {
        var random = new Random(5);
        for (int round = 0; round < 300; round++)
        {
            int symbols = random.Next(2, 6), made = symbols;
            var table = new MergeTable(4);
            var merges = new Dictionary<(int, int), (int Rank, int Merged)>();
            for (int i = 0; i < 60; i++)
            {
                (int left, int right) = (random.Next(made), random.Next(made));
                // Ranks repeat, as scores do.
                if (!merges.TryAdd((left, right), (random.Next(20), made))) continue;
                table.Add(left, right, merges[(left, right)].Rank, made++);
            }
            Assert.Equal(merges.Count, table.Count);
            var text = new List<int>();
            int length = random.Next(1, 200);
            for (int i = 0; i < length; i++) text.Add(random.Next(symbols));
            var buffer = new MergeBuffer();
            buffer.Begin(length);
            foreach (int symbol in text) buffer.Add(symbol);
            buffer.Merge(table);
            Assert.Equal(Naive(text, merges), buffer.Symbols.ToArray());
        }
    }

    [Fact]
    public void Of_two_merges_of_a_pair_the_first_stays()
    {
        var table = new MergeTable(2);
        table.Add(1, 2, 5, 10);
        table.Add(1, 2, 3, 11);
        Assert.Equal((5, 10, 1), (table.Rank(1, 2, out int merged), merged, table.Count));
        Assert.Equal(MergeTable.NoMerge, table.Rank(2, 1, out _));
    }

    [Fact]
    public void SentencePiece_equals_the_plain_algorithm_over_the_whole_text()
    {
        var random = new Random(11);
        // Tokens that reach across spaces, hold spaces only, or hold a letter ("z") that is no token by itself.
        string[] shapes = ["a", "b", "c", "▁", "é", "中", "😀"];
        for (int round = 0; round < 60; round++)
        {
            var texts = new HashSet<string>(shapes) { "z▁" };
            while (texts.Count < 60)
                texts.Add(string.Concat(Enumerable.Range(0, random.Next(2, 5)).Select(_ => random.Next(6) == 0 ? "z" : shapes[random.Next(shapes.Length)])));
            string[] tokens = ["<unk>", "<s>", "</s>", .. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>"), .. texts];
            int[] types = [2, 3, 3, .. Enumerable.Repeat(6, 256), .. Enumerable.Repeat(1, texts.Count)];
            float[] scores = [.. tokens.Select((_, i) => i < 259 ? 0f : -random.Next(12))];
            var tokenizer = new Tokenizer(new VocabularySource
            {
                Model = "llama", Tokens = tokens, Types = types, Scores = scores, AddSpacePrefix = false,
            });
            for (int i = 0; i < 40; i++)
            {
                string text = string.Concat(Enumerable.Range(0, random.Next(1, 90)).Select(_ =>
                    random.Next(9) switch { 0 or 1 => " ", 2 => "z", 3 => "q", 4 => "\n", _ => shapes[random.Next(shapes.Length)].Replace('▁', ' ') }));
                int[] ids = tokenizer.Encode(text, addSpecial: false, parseSpecial: false);
                Assert.Equal(PlainSentencePiece(text, tokens, scores), ids);
                Assert.Equal(text, tokenizer.Decode(ids));
            }
        }
    }

    private static int[] Naive(List<int> symbols, Dictionary<(int, int), (int Rank, int Merged)> merges)
    {
        while (true)
        {
            int best = -1, rank = int.MaxValue;
            for (int i = 0; i + 1 < symbols.Count; i++)
                if (merges.TryGetValue((symbols[i], symbols[i + 1]), out var merge) && merge.Rank < rank) (best, rank) = (i, merge.Rank);
            if (best < 0) return [.. symbols];
            symbols[best] = merges[(symbols[best], symbols[best + 1])].Merged;
            symbols.RemoveAt(best + 1);
        }
    }

    private static int[] PlainSentencePiece(string text, string[] tokens, float[] scores)
    {
        var ids = new Dictionary<string, int>();
        for (int i = 259; i < tokens.Length; i++) ids[tokens[i]] = i;
        List<string> parts = [.. text.Replace(' ', '▁').EnumerateRunes().Select(r => r.ToString())];
        while (true)
        {
            int best = -1;
            float score = float.NegativeInfinity;
            for (int i = 0; i + 1 < parts.Count; i++)
                if (ids.TryGetValue(parts[i] + parts[i + 1], out int id) && scores[id] > score) (best, score) = (i, scores[id]);
            if (best < 0) break;
            parts[best] += parts[best + 1];
            parts.RemoveAt(best + 1);
        }
        return [.. parts.SelectMany(p => ids.TryGetValue(p, out int id) ? [id] : System.Text.Encoding.UTF8.GetBytes(p).Select(b => 3 + b))];
    }
}
