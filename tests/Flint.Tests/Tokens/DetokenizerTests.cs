using System.Text;
using Flint.Tokens;

namespace Flint.Tests.Tokens;

/// <summary>Streaming gives the same text as decoding at once, in whole characters.</summary>
public sealed class DetokenizerTests
{
    private static readonly Tokenizer ByteTokens = new(new VocabularySource
    {
        Model = "gpt2",
        Pre = "gpt-2",
        Tokens = [.. Enumerable.Range(0, 256).Select(b => ByteAlphabet.CharOf((byte)b).ToString()), "<|c|>", "Ġabc", "ðŁĺ"],
        Types = [.. Enumerable.Repeat(1, 256), 3, 1, 1],
        Merges = [],
    });

    [Fact]
    public void Characters_come_out_whole_and_as_soon_as_they_are_certain()
    {
        var stream = new Detokenizer(ByteTokens, showSpecial: true);
        Assert.Equal("", stream.Push(258));
        Assert.Equal("😀", stream.Push(0x80));
        Assert.Equal("a", stream.Push('a'));
        Assert.Equal("", stream.Push(0xE4));
        Assert.Equal("\uFFFDb", stream.Push('b'));
        Assert.Equal("\uFFFD", stream.Push(0xFF));
        Assert.Equal("\uFFFD", stream.Push(0x80));
        // C0 and F5 can begin no character, and E0 80 no longer can.
        Assert.Equal("\uFFFD", stream.Push(0xC0));
        Assert.Equal("\uFFFD", stream.Push(0xF5));
        Assert.Equal("", stream.Push(0xE0));
        Assert.Equal("\uFFFD\uFFFD", stream.Push(0x80));
        Assert.Equal("", stream.Push(0xF0));
        Assert.Equal("", stream.Push(0x9F));
        Assert.Equal("\uFFFD", stream.Flush());
        Assert.Equal("", stream.Flush());
        stream.Push(0xF0);
        stream.Reset();
        Assert.Equal("x", stream.Push('x'));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Any_ids_stream_to_what_they_decode_to(bool showSpecial)
    {
        var random = new Random(23);
        for (int round = 0; round < 3000; round++)
        {
            int[] ids = new int[random.Next(1, 30)];
            for (int i = 0; i < ids.Length; i++)
                ids[i] = random.Next(3) switch { 0 => random.Next(ByteTokens.Count), 1 => random.Next(0x80, 0xC0), _ => random.Next(0xE0, 0xF5) };
            AssertStreams(ByteTokens, ids, showSpecial);
        }
    }

    [Theory]
    [InlineData("llama-spm")]
    [InlineData("qwen2")]
    [InlineData("llama4")]
    public void Texts_and_random_ids_stream_on_real_vocabularies(string name)
    {
        Tokenizer tokenizer = Vocabularies.ForVectors(name);
        var random = new Random(31);
        for (int round = 0; round < 200; round++)
        {
            AssertStreams(tokenizer, tokenizer.Encode(Samples.AllPlanes(random, 40), true, true), showSpecial: round % 2 == 0);
            AssertStreams(tokenizer, [.. Enumerable.Range(0, 40).Select(_ => random.Next(tokenizer.Count))], showSpecial: round % 2 == 0);
        }
    }

    [Fact]
    public void A_text_that_goes_on_keeps_its_space()
    {
        var tokenizer = new Tokenizer(new VocabularySource
        {
            Model = "llama", Tokens = ["<unk>", "<s>", "</s>", "▁a", "▁b"], Types = [2, 3, 3, 1, 1], Scores = new float[5],
        });
        Assert.Equal("a", new Detokenizer(tokenizer, true).Push(3));
        Assert.Equal(" a", new Detokenizer(tokenizer, true, previous: 4).Push(3));
        Assert.Equal("a", new Detokenizer(tokenizer, true, previous: 1).Push(3));
        var stream = new Detokenizer(tokenizer, showSpecial: false);
        Assert.Equal("", stream.Push(1));
        Assert.Equal("a", stream.Push(3));
        Assert.Equal(" b", stream.Push(4));
    }

    private static void AssertStreams(Tokenizer tokenizer, int[] ids, bool showSpecial)
    {
        string whole = tokenizer.Decode(ids, showSpecial);
        Assert.Equal(whole, Encoding.UTF8.GetString(tokenizer.DecodeBytes(ids, showSpecial)));
        var stream = new Detokenizer(tokenizer, showSpecial);
        var text = new StringBuilder();
        foreach (int id in ids)
        {
            string piece = stream.Push(id);
            Assert.False(piece.Length > 0 && (char.IsLowSurrogate(piece[0]) || char.IsHighSurrogate(piece[^1])));
            text.Append(piece);
        }
        text.Append(stream.Flush());
        Assert.Equal(whole, text.ToString());
    }
}
