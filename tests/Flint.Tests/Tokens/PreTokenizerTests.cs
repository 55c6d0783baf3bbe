using System.Text.RegularExpressions;
using Flint.Tokens;

namespace Flint.Tests.Tokens;

/// <summary>Every hand-written scanner cuts as its published patterns do.</summary>
public sealed class PreTokenizerTests
{
    private const string Contractions = "'(?:[sSſtTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";
    private const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    private const string Rest = @" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string SlashRest = @" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string Upper = @"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]";
    private const string Lower = @"[\p{Ll}\p{Lm}\p{Lo}\p{M}]";
    private const string Ideographs = @"[一-龥ࠀ-一가-\uD7FF-[\s]]+";
    // The letters with case of DeepSeek LLM's list that the samples can hold.
    private const string DeepSeekLetters = @"\s?[A-Za-zÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓΑ-Ωα-ωЀ-ҁＡ-Ｚａ-ｚ]+";

    private static readonly Dictionary<string, string[]> Patterns = new()
    {
        ["gpt-2"] = [Gpt2],
        ["llama-bpe"] = [Contractions + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + Rest],
        ["qwen2"] = [Contractions + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + Rest],
        ["qwen35"] =
            [Contractions + @"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
        ["llama4"] =
            [$@"[^\r\n\p{{L}}\p{{N}}]?{Upper}*{Lower}+(?:{Contractions})?|[^\r\n\p{{L}}\p{{N}}]?{Upper}+{Lower}*(?:{Contractions})?|\p{{N}}{{1,3}}|" + SlashRest],
        ["tekken"] =
            [$@"[^\r\n\p{{L}}\p{{N}}]?{Upper}*{Lower}+|[^\r\n\p{{L}}\p{{N}}]?{Upper}+{Lower}*|\p{{N}}|" + SlashRest],
        ["starcoder"] = [@"\p{N}", Gpt2],
        ["falcon"] = [@"[\p{P}$+<=>^~|`]+", Gpt2, "[0-9][0-9][0-9]"],
        ["default"] = [@"[\p{P}$+<=>^~|]+", Gpt2, @"\p{N}+", "[0-9][0-9][0-9]"],
        ["deepseek-coder"] = [@"[\r\n]", @"\s?\p{L}+", @"\s?\p{P}+", Ideographs, @"\p{N}"],
        ["deepseek-llm"] =
            [@"[\r\n]", DeepSeekLetters, @"\s?[!-/:-~！-／：-～‘-‟\u3001\u3002]+", @"\s+\z", Ideographs, @"\p{N}+"],
        ["deepseek-v3"] =
        [
            @"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
            @"[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    };

    public static TheoryData<string> Names => [.. Patterns.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Pieces_are_those_of_the_patterns(string name)
    {
        Regex[] passes = [.. Patterns[name].Select(p => new Regex(p, RegexOptions.CultureInvariant | RegexOptions.Compiled))];
        var random = new Random(20260);
        for (int i = 0; i < 4000; i++)
        {
            string text = Samples.BasicPlane(random, random.Next(1, 25));
            List<string> expected = [text];
            foreach (Regex pass in passes) expected = [.. expected.SelectMany(piece => Cut(pass, piece))];
            Assert.Equal(expected, Split(name, text));
        }
    }

    [Theory]
    [InlineData("gpt-2")]
    [InlineData("llama-bpe")]
    [InlineData("qwen2")]
    [InlineData("qwen35")]
    [InlineData("llama4")]
    [InlineData("tekken")]
    [InlineData("starcoder")]
    [InlineData("falcon")]
    [InlineData("default")]
    public void Characters_of_other_planes_are_cut_like_their_kind_in_the_basic_plane(string name)
    {
        (string Basic, string Wide)[] kinds =
            [("ß", "𝐚"), ("Ω", "𝐀"), ("中", "𠀀"), ("☃", "😀"), ("½", "𝟎"), ("\u093E", "\U0001D165"), ("\u0378", "\U0003FFFF")];
        var random = new Random(7);
        for (int i = 0; i < 1000; i++)
        {
            string text = Samples.BasicPlane(random, random.Next(1, 25)) + kinds[i % kinds.Length].Basic;
            string wide = text;
            foreach ((string from, string to) in kinds) wide = wide.Replace(from, to, StringComparison.Ordinal);
            var expected = Split(name, text).Select(piece =>
            {
                foreach ((string from, string to) in kinds) piece = piece.Replace(from, to, StringComparison.Ordinal);
                return piece;
            });
            Assert.Equal(expected, Split(name, wide));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Pieces_join_to_the_text(string name)
    {
        var random = new Random(99);
        for (int i = 0; i < 500; i++)
        {
            string text = Samples.AllPlanes(random, random.Next(0, 40));
            List<string> pieces = Split(name, text);
            Assert.Equal(text, string.Concat(pieces));
            Assert.DoesNotContain("", pieces);
            Assert.DoesNotContain(pieces, p => char.IsLowSurrogate(p[0]));
        }
    }

    [Theory]
    [InlineData("llama4", "HelloWorld don'T iPhone", "Hello|World| don'T| i|Phone")]
    [InlineData("llama4", "中ABC ABCdef", "中|ABC| ABCdef")]
    [InlineData("llama-bpe", "It'ſok, 12345", "It|'ſ|ok|,| |123|45")]
    [InlineData("falcon", "x12345!", "x|123|45|!")]
    [InlineData("deepseek-llm", "Ähello  ", "Ä|hello|  ")]
    public void Known_cuts(string name, string text, string pieces) => Assert.Equal(pieces, string.Join('|', Split(name, text)));

    [Fact]
    public void Aliases_are_the_same_and_unknown_names_are_refused()
    {
        foreach (string alias in new[] { "llama3", "llama-v3", "falcon3" })
            Assert.Equal(PreTokenizer.Named("llama-bpe"), PreTokenizer.Named(alias));
        Assert.Equal(PreTokenizer.Named("gpt-4o"), PreTokenizer.Named("llama4"));
        Assert.Equal(PreTokenizer.Named("qwen2"), PreTokenizer.Named("deepseek-r1-qwen"));
        Assert.Equal(PreTokenizer.Named("starcoder"), PreTokenizer.Named("refact"));
        Assert.NotEqual(PreTokenizer.Named("qwen2"), PreTokenizer.Named("qwen35"));
        Assert.Equal(SplitKind.Default, PreTokenizer.Named(null).Kind);
        FlintException fault = Assert.Throws<FlintException>(() => PreTokenizer.Named("martian"));
        Assert.Equal(FaultSide.ModelFile, fault.Side);
        Assert.Contains("'martian'", fault.Message, StringComparison.Ordinal);
    }

    private static List<string> Split(string name, string text)
    {
        var classes = new byte[text.Length];
        CharClass.Classify(text, classes);
        PieceList pieces = new(), spare = new();
        PreTokenizer.Named(name).Split(text, classes, ref pieces, ref spare);
        var result = new List<string>();
        int start = 0;
        foreach (int end in pieces.Ends)
        {
            result.Add(text[start..end]);
            start = end;
        }
        return result;
    }

    private static IEnumerable<string> Cut(Regex pattern, string text)
    {
        int from = 0;
        foreach (Match match in pattern.Matches(text))
        {
            if (match.Index > from) yield return text[from..match.Index];
            yield return match.Value;
            from = match.Index + match.Length;
        }
        if (from < text.Length) yield return text[from..];
    }
}
