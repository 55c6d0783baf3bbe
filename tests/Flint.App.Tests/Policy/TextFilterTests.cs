using System.Text;
using Flint.App.Policy;

namespace Flint.App.Tests.Policy;

/// <summary>Filters over texts in pieces.</summary>
public sealed class TextFilterTests
{
    private static readonly string[] Patterns =
    [
        "ab", "a+b", "a.*b", "(ab|ba)+", @"\bab\b", @"\d{2,4}", @"[^\n]{3}", "a{2}|b", "(?:a|ab)(?:c|bcd)", @"^a.", "b$", @"\d+-\d+\b", @"(a?b){2,3}x", @"[a-c-[b]]1", @"\p{Ll}\s", ".x", @"x\W", "(?i)A1", @"\ud83d", @"\bé", "(a|b)*c",
    ];

    private static readonly string[] Alphabet = ["a", "b", "c", "x", "1", "2", "-", " ", "\n", "A", "é", "e\u0301", "\u00AD", "\U0001F600", "ab", "ba"];

    [Fact]
    public void What_is_told_of_pieces_is_what_is_told_of_the_whole()
    {
        int decided = 0, denied = 0;
        for (int seed = 0; seed < 6000; seed++)
        {
            var random = new Random(seed);
            FilterReference.Rule[] rules = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => RandomRule(random))];
            string text = RandomText(random, random.Next(0, 60));
            (string expected, List<(int Rule, bool Denies, int Position)> decisions) = FilterReference.Apply(rules, text);
            var seen = new List<(int, bool, int)>();
            TextRule[] made = [.. rules.Select((rule, i) => rule.Make(i))];
            var filter = new TextFilter(made, decision => seen.Add((Array.IndexOf(made, decision.Rule), decision.Denies, decision.Position)));
            var told = new StringBuilder();
            for (int at = 0; at < text.Length;)
            {
                int length = Math.Min(text.Length - at, random.Next(1, random.Next(2, 20)));
                told.Append(filter.Push(text.Substring(at, length)));
                at += length;
                string now = told.ToString();
                Assert.True(expected.StartsWith(now, StringComparison.Ordinal), $"seed {seed}: told '{now}' where '{expected}' is to be told of '{text}'");
                Assert.False(now.Length > 0 && char.IsHighSurrogate(now[^1]), $"seed {seed}: half of a pair is told");
            }

            told.Append(filter.Finish());
            Assert.True(expected == told.ToString(), $"seed {seed}: told '{told}' where '{expected}' is to be told of '{text}' by {string.Join(", ", rules.Select(rule => rule.ToString()))}");
            Assert.Equal(decisions, seen);
            decided += decisions.Count;
            denied += filter.IsDenied ? 1 : 0;
        }

        Assert.True(decided > 3000 && denied > 500, $"{decided} decisions, {denied} denials"); // else it tests nothing
    }

    [Fact]
    public void What_cannot_become_a_match_is_told_at_once()
    {
        TextFilter filter = Create(new Pattern(@"\d{4}"), new WordList(["secret", "see red"]));
        Assert.Equal("hello ", filter.Push("hello "));
        Assert.Equal("", filter.Push("12"));
        Assert.Equal("12x ", filter.Push("x "));
        Assert.Equal("", filter.Push("se"));
        Assert.Equal("sea", filter.Push("a"));
        Assert.Equal("secretly", filter.Push("secret") + filter.Push("ly")); // it goes on a word, and is none
        Assert.Equal(" ", filter.Push(" see"));
        Assert.Equal("see ", filter.Push(" blue")[..4]);
        Assert.Equal("", filter.Push(" 1234")[1..]);
        Assert.Equal("[redacted]", filter.Push("5")); // four digits are over
        Assert.Equal("5", filter.Finish());
    }

    [Fact]
    public void What_is_held_back_is_bounded()
    {
        TextFilter filter = Create(new Pattern(".*secret", maxLength: 20));
        Assert.True(new Pattern(".*secret").KnowsPrefixes);
        int pushed = 0, told = 0;
        for (int i = 0; i < 500; i++)
        {
            told += filter.Push("so on ").Length;
            pushed += 6;
            Assert.InRange(pushed - told, 0, 21);
        }

        Assert.Equal(pushed, told + filter.Finish().Length);
    }

    [Fact]
    public void A_match_longer_than_is_waited_for_ends_the_text()
    {
        var decisions = new List<RuleDecision>();
        var filter = new TextFilter([new TextRule("key", RuleAction.Redact, new Pattern("key: .*", maxLength: 10))], decisions.Add);
        Assert.Equal("a ", filter.Push("a key: 12345678901234"));
        Assert.True(filter.IsDenied);
        Assert.Equal((true, 2), (decisions[0].Denies, decisions[0].Position));
        Assert.Equal("", filter.Push("more") + filter.Finish());
    }

    [Fact]
    public void Arguments_are_looked_at_as_their_escapes_mean()
    {
        var rule = new TextRule("word", RuleAction.Redact, new WordList(["secret"])) { Replacement = "a \"b\"" };
        string json = """{"x":"the \u0073ecret\n\u00e9 \\ caf\u00E9 \ud83d\ude00"}""";
        foreach (int size in (int[])[1, 3, 100])
        {
            var filter = new TextFilter([rule], _ => { }, isJson: true);
            string told = string.Concat(json.Chunk(size).Select(piece => filter.Push(new string(piece)))) + filter.Finish();
            Assert.Equal("""{"x":"the a \"b\"\n\u00e9 \\ caf\u00E9 \ud83d\ude00"}""", told);
        }
    }

    [Fact]
    public void A_match_that_goes_on_behind_an_end_is_not_told_whole()
    {
        TextFilter redacts = Create(new Pattern("secret"));
        Assert.Equal("my sec", redacts.Push("my sec") + redacts.Finish());
        Assert.Equal("[redacted] is", redacts.Push("ret is") + redacts.Finish());
        Assert.Equal(" secre", redacts.Push(" secre") + redacts.Finish());
        Assert.Equal("x", redacts.Push("x") + redacts.Finish());

        var denies = new TextFilter([new TextRule("deny", RuleAction.Deny, new WordList(["top secret"]))], _ => { });
        Assert.Equal("top ", denies.Push("top ") + denies.Finish());
        Assert.Equal("", denies.Push("secret") + denies.Finish());
        Assert.True(denies.IsDenied);
    }

    [Fact]
    public void Words_are_found_whatever_their_case_and_accents()
    {
        var words = new WordList(["Café", "naïve idea", "łódź", "straße"]);
        foreach (string text in (string[])["CAFÉ", "a cafe.", "cafe\u0301", "ｃａｆｅ", "ca\u00ADfe", "na\u0308ive\u00A0Idea", "LODZ", "Straße!"])
            Assert.True(words.IsIn(text), text);
        foreach (string text in (string[])["cafes", "decaf e", "naive", "lod z", "cafe_"])
            Assert.False(words.IsIn(text), text);
        Assert.True(new WordList(["cafe"], wholeWords: false).IsIn("decafe\u0301s"));
    }

    [Fact]
    public void Work_grows_with_the_text_and_not_faster()
    {
        string[] many = [.. Enumerable.Range(0, 20_000).Select(i => $"word{i} of{i % 97}")];
        var texts = new Dictionary<string, Func<int, string>>
        {
            ["words"] = n => string.Concat(Enumerable.Range(0, n / 10).Select(i => $"word{i % 9000:0000} of")),
            ["same"] = n => new string('a', n),
        };
        foreach ((string name, Func<int, string> text) in texts)
        {
            // The most steps of one character: for words a few, for what anything can begin the reach.
            foreach ((TextMatcher matcher, int steps) in new (TextMatcher, int)[] { (new WordList(many), 8), (new Pattern(@"\d{4}-\d{4}"), 30), (new Pattern("a.*b", maxLength: 32), 120) })
            {
                const int megabyte = 1 << 20;
                long half = Steps(matcher, text(megabyte / 2)), whole = Steps(matcher, text(megabyte));
                Assert.True(whole <= steps * (long)megabyte, $"{name}: {whole} steps");
                Assert.True(whole <= 2.2 * half, $"{name}: {half} steps for half, {whole} for all");
            }
        }

        static long Steps(TextMatcher matcher, string text)
        {
            TextFilter filter = Create(matcher);
            Assert.Equal(text, filter.Push(text) + filter.Finish());
            return filter.Steps;
        }
    }

    [Theory]
    [InlineData("(?=a)b")]
    [InlineData(@"(a)\1")]
    [InlineData("a*")]
    [InlineData("a[")]
    [InlineData("")]
    public void Patterns_that_cannot_be_used_are_refused(string pattern) =>
        Assert.Equal("invalid_rule", Assert.Throws<FlintException>(() => new Pattern(pattern)).Code);

    [Fact]
    public void Patterns_for_streams_do_not_ask_for_the_end()
    {
        Assert.All((string[])["a$", @"\\z", "(?i)a", "(?<n>a)", "[?]", @"\bz"], pattern => Assert.True(new Pattern(pattern).IsForStreams, pattern));
        Assert.All((string[])[@"a\z", @"a\Z", "a(?i)b", "(?-m)a", "a(?m:b)"], pattern => Assert.False(new Pattern(pattern).IsForStreams, pattern));
        Assert.All(Patterns, pattern => Assert.True(new Pattern(pattern).KnowsPrefixes, pattern));
        Assert.False(new Pattern("a{600}", maxLength: 700).KnowsPrefixes);
    }

    private static TextFilter Create(params TextMatcher[] matchers) =>
        new([.. matchers.Select((matcher, i) => new TextRule($"rule-{i}", RuleAction.Redact, matcher))], _ => { });

    private static FilterReference.Rule RandomRule(Random random)
    {
        bool denies = random.Next(4) == 0;
        string replacement = random.Next(3) == 0 ? "" : "<" + random.Next(10) + ">";
        if (random.Next(3) > 0)
            return new FilterReference.Rule(denies, Patterns[random.Next(Patterns.Length)], random.Next(1, 12), [], true, replacement);
        string[] words = [.. Enumerable.Range(0, random.Next(1, 6)).Select(_ => RandomText(random, random.Next(1, 5))).Where(word => WordList.Fold(word).Length > 0)];
        return new FilterReference.Rule(denies, null, 0, words.Length == 0 ? ["ab"] : words, random.Next(3) > 0, replacement);
    }

    private static string RandomText(Random random, int length) => string.Concat(Enumerable.Range(0, length).Select(_ => Alphabet[random.Next(Alphabet.Length)]));
}
