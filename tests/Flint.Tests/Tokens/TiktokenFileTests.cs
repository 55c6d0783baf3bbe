using System.Text;
using Flint.Tests.Weights;
using Flint.Tokens;

namespace Flint.Tests.Tokens;

/// <summary>The tiktoken text format and the vocabularies made from it.</summary>
public sealed class TiktokenFileTests
{
    [Fact]
    public void Tokens_are_read_by_rank_in_any_order()
    {
        byte[][] tokens = TiktokenFile.Parse("IQ== 0\r\n\nYWI= 3\nIg== 1"u8, "t");
        Assert.Equal(["21", "22", "", "6162"], tokens.Select(Convert.ToHexString));
    }

    [Theory]
    [InlineData("", "tiktoken_empty")]
    [InlineData("IQ==", "tiktoken_line")]
    [InlineData("IQ== x", "tiktoken_line")]
    [InlineData("IQ== -1", "tiktoken_line")]
    [InlineData("IQ== 99999999", "tiktoken_line")]
    [InlineData("IQ 0", "tiktoken_line")]
    [InlineData("*** 0", "tiktoken_line")]
    [InlineData("IQ== 0\nIg== 0", "tiktoken_rank")]
    public void Faulty_files_are_refused(string file, string code)
    {
        FlintException fault = Assert.Throws<FlintException>(() => TiktokenFile.Parse(Encoding.UTF8.GetBytes(file), "name.txt"));
        Assert.Equal((FaultSide.ModelFile, code), (fault.Side, fault.Code));
        Assert.Contains("name.txt", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_file_is_the_machines_fault() =>
        Assert.Equal(FaultSide.Machine, Assert.Throws<FlintException>(() => TiktokenFile.Read("/no/such/file")).Side);

    [Fact]
    public void Merging_is_by_the_rank_of_the_whole()
    {
        using var folder = new TestFolder();
        string path = Path.Combine(folder.Path, "ranks");
        string[] words = [.. Enumerable.Range(0, 256).Select(b => Convert.ToBase64String([(byte)b])),
            .. new[] { "bc", "ab", "abcd", "cd" }.Select(w => Convert.ToBase64String(Encoding.UTF8.GetBytes(w)))];
        File.WriteAllLines(path, words.Select((w, rank) => $"{w} {rank}"));
        Tokenizer tokenizer = Tokenizer.FromTiktoken(path, "gpt-2", new Dictionary<string, int> { ["<|endoftext|>"] = 300 });
        Assert.Equal((301, 300, 300), (tokenizer.Count, tokenizer.Eos, tokenizer.Eot));
        // "abcd" whole is a token although no merges lead to it; inside a longer word bc goes first.
        Assert.Equal([258], tokenizer.Encode("abcd", false, false));
        Assert.Equal(['a', 256, 'd', 'x'], tokenizer.Encode("abcdx", false, false));
        Assert.Equal([257, 300], tokenizer.Encode("ab<|endoftext|>", false, true));
        Assert.Equal("ab", tokenizer.Decode([257, 299]));
        FlintException fault = Assert.Throws<FlintException>(() =>
            Tokenizer.FromTiktoken(path, "gpt-2", new Dictionary<string, int> { ["<x>"] = 10 }));
        Assert.Equal("special_token_id", fault.Code);
    }
}
