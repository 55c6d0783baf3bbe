using System.Text;
using System.Text.Json;
using Flint.Grammar;

namespace Flint.Tests.Grammar;

/// <summary>Masks: exactly the tokens that can be read, whatever they reach over.</summary>
public sealed class TokenMaskTests
{
    public static TheoryData<string> Schemas { get; } =
    [
        "true",
        """{"type": "object", "properties": {"name": {"type": "string"}, "value": {"type": ["number", "null"]}}, "required": ["name"], "additionalProperties": false}""",
        """{"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 4}""",
        """{"type": "array", "items": {"type": "string", "pattern": "^(ab|[é€日]+)*$"}, "maxItems": 4}""",
        """{"type": "object", "additionalProperties": {"type": "integer", "minimum": -20, "maximum": 450}, "maxProperties": 3}""",
        """{"type": "string", "pattern": "^(?:\\S+\\s+){0,12}\\S+$", "minLength": 1, "maxLength": 40}""",
        """{"type": "string", "pattern": "^([a-c1-5]{2,}[é日]?){9,40}$", "minLength": 3, "maxLength": 90}""",
        """{"type": "string", "minLength": 10, "maxLength": 25}""",
        """{"type": "string", "pattern": "^[^x]{0,20}$"}""",
        """{"type": "array", "contains": {"const": "abc"}, "maxContains": 2, "items": {"type": "string", "maxLength": 4}, "maxItems": 5}""",
        """{"type": "array", "items": {"enum": ["abc", "name", "ab", true]}, "uniqueItems": true}""",
        """{"type": "object", "properties": {"abc": {"type": "integer"}, "ab": {"type": "null"}, "a\"b": {}, "name€uro": {"type": "boolean"}}, "additionalProperties": {"type": "boolean"}, "maxProperties": 3}""",
        """{"anyOf": [{"enum": ["abc", "ab", "name", 12, 345]}, {"type": "array", "items": {"type": "string", "format": "date"}}]}""",
    ];

    [Theory]
    [MemberData(nameof(Schemas))]
    public void A_mask_is_the_tokens_that_can_be_read_and_random_walks_end_in_valid_text(string schema)
    {
        TokenGrammar grammar = SmallVocabulary.Schema(schema);
        var random = new Random(7);
        int ended = 0;
        for (int walk = 0; walk < 14; walk++)
        {
            GrammarState state = grammar.Start();
            var bytes = new List<byte>();
            for (int step = 0; step < 60 && !(state.CanEnd && (!state.CanGoOn || random.Next(4) == 0)); step++)
            {
                int[] allowed = Allowed(state);
                if (step % 11 == 3)
                    Assert.Equal(allowed, Readable(grammar, bytes));
                Assert.NotEmpty(allowed);
                int token = allowed[random.Next(allowed.Length)];
                Assert.True(state.TryRead(token));
                bytes.AddRange(SmallVocabulary.Pieces[token]);
            }

            string text = Encoding.UTF8.GetString(bytes.ToArray());
            Assert.Equal(state.CanEnd, grammar.Accepts(bytes.ToArray()));
            if (!state.CanEnd)
                continue;
            using JsonDocument parsed = JsonDocument.Parse(text);
            ended++;
        }

        Assert.InRange(ended, 1, 14);
    }

    [Fact]
    public void Control_tokens_come_only_where_a_grammar_has_them_and_tokens_of_equal_bytes_come_together()
    {
        GrammarState state = SmallVocabulary.Schema("""{"type": "string"}""").Start();
        Assert.True(state.TryRead('"'));
        int[] allowed = Allowed(state);
        Assert.DoesNotContain(SmallVocabulary.Message, allowed);
        Assert.DoesNotContain(SmallVocabulary.Message + 1, allowed);
        Assert.DoesNotContain(SmallVocabulary.Message + 2, allowed);
        Assert.Contains(SmallVocabulary.Message + 3, allowed); // "abc" again
        Assert.Contains(256 + Array.IndexOf(SmallVocabulary.Words, "abc"), allowed);
        Assert.DoesNotContain(0xFF, allowed);
        Assert.False(state.TryRead(SmallVocabulary.Message));
        Assert.Equal(allowed, Allowed(state));
    }

    [Fact]
    public void Where_a_text_begins_a_leading_space_is_not_part_of_it()
    {
        List<byte[]> pieces = [.. SmallVocabulary.Pieces, " 12"u8.ToArray(), " x"u8.ToArray()];
        var vocabulary = new TokenVocabulary(pieces.Count, token => pieces[token], SmallVocabulary.IsControl, [], stripsSpace: true);
        using JsonDocument schema = JsonDocument.Parse("""{"type": "integer"}""");
        GrammarState state = TokenGrammar.OfSchema(vocabulary, schema.RootElement).Start();
        ulong[] mask = new ulong[state.MaskWords];
        int spaced = pieces.Count - 2;
        state.CopyMask(mask, begins: true);
        Assert.True(Has(mask, spaced) && Has(mask, '7') && !Has(mask, spaced + 1));
        state.CopyMask(mask);
        Assert.True(!Has(mask, spaced) && Has(mask, '7'));
        Assert.False(state.TryRead(spaced));
        Assert.True(state.TryRead(spaced, begins: true));
        Assert.True(state.CanEnd);
    }

    [Fact]
    public void States_passed_are_forgotten_and_found_again()
    {
        // Every length is a state of its own.
        TokenGrammar grammar = SmallVocabulary.Schema("""{"type": "array", "items": {"type": "string", "minLength": 20000, "maxLength": 40000}}""");
        GrammarState state = grammar.Start();
        Assert.True(state.TryRead('['));
        for (int item = 0; item < 4; item++)
        {
            Assert.True(item == 0 || state.TryRead(','));
            Assert.True(state.TryRead('"'));
            Assert.False(state.TryRead('"'));
            for (int i = 0; i < 30_000; i++)
                Assert.True(state.TryRead('a'));
            Assert.True(state.TryRead('"'));
        }

        Assert.True(state.TryRead(']'));
        Assert.True(state.CanEnd);
        Assert.False(state.CanGoOn);
    }

    [Fact]
    public void A_pattern_with_too_many_states_is_a_fault_and_not_a_long_wait()
    {
        FlintException fault = Assert.Throws<FlintException>(() =>
        {
            // No text has an a and a b in one place, and that is seen only where all that came before it is known.
            SmallVocabulary.Schema("""{"type": "string", "allOf": [{"pattern": "^(a|b)*a(a|b){18}$"}, {"pattern": "^(a|b)*b(a|b){18}$"}]}""");
        });
        Assert.Equal((FaultSide.Caller, "grammar_too_complex"), (fault.Side, fault.Code));
    }

    private static int[] Allowed(GrammarState state)
    {
        ulong[] mask = new ulong[state.MaskWords];
        state.CopyMask(mask);
        return [.. Enumerable.Range(0, SmallVocabulary.Pieces.Count).Where(token => Has(mask, token))];
    }

    private static bool Has(ulong[] mask, int token) => (mask[token >> 6] >> token & 1) != 0;

    private static List<int> Readable(TokenGrammar grammar, List<byte> before)
    {
        var readable = new List<int>();
        GrammarState? state = null;
        for (int token = 0; token < SmallVocabulary.Pieces.Count; token++)
        {
            if (state is null)
            {
                state = grammar.Start();
                foreach (byte next in before)
                    Assert.True(state.TryRead(next));
            }

            if (!state.TryRead(token))
                continue;
            readable.Add(token);
            state = null; // it has read on
        }

        return readable;
    }
}
