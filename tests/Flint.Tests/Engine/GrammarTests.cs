using System.Text.Json;
using Flint.Engine;
using Flint.Grammar;
using Flint.Tests.Grammar;
using Flint.Tests.Simulation;

namespace Flint.Tests.Engine;

/// <summary>Sequences that are held to a grammar, over logits that mean nothing: what they write is valid all the same.</summary>
public sealed class GrammarTests
{
    private const int Vocabulary = 320;

    private static readonly int End = SmallVocabulary.Message + 1;

    private static readonly TokenVocabulary Tokens = new(Vocabulary, Piece, id => id >= SmallVocabulary.Pieces.Count || SmallVocabulary.IsControl(id), []);

    public static TheoryData<string> Schemas { get; } =
    [
        """{"type": "object", "properties": {"name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "minimum": 0, "maximum": 150}, "ok": {"type": "boolean"}}, "required": ["name", "age"], "additionalProperties": false}""",
        """{"type": "array", "items": {"enum": ["a", "abc", 12, null, {"value": true}]}, "maxItems": 5}""",
        """{"type": "string", "format": "date"}""",
        """{"anyOf": [{"type": "string", "pattern": "^[a-f]{3,9}$"}, {"type": "number", "minimum": -1, "maximum": 1, "multipleOf": 0.05}]}""",
    ];

    [Theory]
    [MemberData(nameof(Schemas))]
    public void What_is_written_is_of_the_schema(string schema)
    {
        TokenGrammar grammar = Grammar(schema);
        using EngineHarness harness = Harness();
        List<Sequence> sequences = [];
        for (int i = 0; i < 24; i++)
        {
            sequences.AddRange(harness.Engine.Submit(new GenerationRequest
            {
                Prompt = EngineHarness.Prompt(5, seed: i),
                Grammar = grammar,
                MaxTokens = 200,
                Samples = 2,
                Sampling = new SamplingOptions { Seed = (ulong)i, Temperature = i % 3, TopK = i % 4 == 0 ? 20 : 0, TopP = i % 5 == 0 ? 0.9f : 1, MinP = i % 7 == 0 ? 0.01f : 0, TypicalP = i % 6 == 0 ? 0.9f : 1 },
            }).Samples);
            harness.Finish();
        }

        int ended = 0;
        foreach (Sequence sequence in sequences)
        {
            (_, string text, FinishReason? finish) = EngineHarness.Read(sequence);
            Assert.True(finish is FinishReason.Stop or FinishReason.Length, $"{finish} {sequence.Fault}");
            if (finish == FinishReason.Length)
                continue;
            ended++;
            Assert.True(grammar.Accepts(text), text);
            using JsonDocument parsed = JsonDocument.Parse(text);
        }

        Assert.InRange(ended, sequences.Count / 4, sequences.Count);
    }

    [Fact]
    public void Others_in_the_batch_keep_their_tokens_and_a_batch_changes_no_constrained_one()
    {
        static GenerationRequest Free(int seed) => new() { Prompt = EngineHarness.Prompt(6, seed), MaxTokens = 30, Sampling = new SamplingOptions { Seed = 4 } };
        TokenGrammar grammar = Grammar("""{"type": "array", "items": {"type": "integer"}}""");
        GenerationRequest Held(int seed) => new() { Prompt = EngineHarness.Prompt(6, seed), MaxTokens = 30, Grammar = grammar, Sampling = new SamplingOptions { Seed = 4 } };

        List<int> Alone(GenerationRequest request)
        {
            using EngineHarness alone = Harness();
            Sequence sequence = alone.Engine.Submit(request);
            alone.Finish();
            return EngineHarness.Read(sequence).Tokens;
        }

        using EngineHarness harness = Harness();
        Sequence free = harness.Engine.Submit(Free(1)), held = harness.Engine.Submit(Held(2)), other = harness.Engine.Submit(Free(3));
        harness.Finish();
        Assert.Equal(Alone(Free(1)), EngineHarness.Read(free).Tokens);
        Assert.Equal(Alone(Free(3)), EngineHarness.Read(other).Tokens);
        Assert.Equal(Alone(Held(2)), EngineHarness.Read(held).Tokens);
    }

    [Fact]
    public void The_end_comes_only_where_the_text_may_end()
    {
        using EngineHarness harness = Harness();
        // The end is by far the likeliest always.
        var bias = new Dictionary<int, float> { [End] = 100 };
        Sequence array = harness.Engine.Submit(new GenerationRequest { Prompt = [65], Grammar = Grammar("""{"const": [1, 2]}"""), Sampling = new SamplingOptions { LogitBias = bias } });
        Sequence number = harness.Engine.Submit(new GenerationRequest { Prompt = [65], Grammar = Grammar("""{"type": "integer", "minimum": 10}"""), Sampling = new SamplingOptions { LogitBias = bias } });
        harness.Finish();
        (List<int> tokens, string text, FinishReason? finish) = EngineHarness.Read(array);
        Assert.Equal(("[1,2]", FinishReason.Stop), (string.Concat(text.Where(c => !char.IsWhiteSpace(c))), finish!.Value));
        Assert.DoesNotContain(End, tokens); // nothing more could follow, so that nothing more was computed
        (tokens, text, finish) = EngineHarness.Read(number);
        Assert.Equal((End, FinishReason.Stop), (tokens[^1], finish!.Value));
        Assert.InRange(long.Parse(text), 10, 999_999); // as soon as it was one
    }

    [Fact]
    public void A_text_that_was_begun_goes_on()
    {
        using EngineHarness harness = Harness();
        TokenGrammar grammar = Grammar("""{"enum": ["abc", "xyz"]}""");
        Sequence sequence = harness.Engine.Submit(new GenerationRequest { Prompt = [65, '"', 'x'], Grammar = grammar, GrammarTokens = 2 });
        harness.Finish();
        Assert.Equal("yz\"", EngineHarness.Read(sequence).Text);
        FlintException fault = Assert.Throws<FlintException>(() => harness.Engine.Submit(new GenerationRequest { Prompt = [65, '"', 'q'], Grammar = grammar, GrammarTokens = 2 }));
        Assert.Equal("grammar_tokens", fault.Code);
    }

    [Fact]
    public void What_does_not_go_together_is_refused()
    {
        using EngineHarness harness = Harness();
        TokenGrammar grammar = Grammar("true");
        foreach (GenerationRequest request in (GenerationRequest[])
        [
            new() { Prompt = [65], Grammar = grammar, IgnoreEos = true },
            new() { Prompt = [65], Grammar = SmallVocabulary.Schema("true") },
            new() { Prompt = [65], Grammar = grammar, GrammarTokens = 1 },
        ])
            Assert.Equal(FaultSide.Caller, Assert.Throws<FlintException>(() => harness.Engine.Submit(request)).Side);
    }

    [Fact]
    public void A_bias_that_rules_out_all_that_is_allowed_is_a_fault_of_the_request()
    {
        using EngineHarness harness = Harness();
        var bias = Enumerable.Range(0, Vocabulary).ToDictionary(id => id, _ => float.NegativeInfinity);
        Sequence sequence = harness.Engine.Submit(new GenerationRequest { Prompt = [65], Grammar = Grammar("true"), Sampling = new SamplingOptions { LogitBias = bias } });
        harness.Finish();
        Assert.Equal((FinishReason.Error, "no_token_allowed", FaultSide.Caller), (sequence.FinishReason, sequence.Fault?.Code, sequence.Fault?.Side));
    }

    private static byte[] Piece(int id) => id < SmallVocabulary.Pieces.Count ? SmallVocabulary.Pieces[id] : [];

    private static TokenGrammar Grammar(string schema)
    {
        using JsonDocument document = JsonDocument.Parse(schema);
        return TokenGrammar.OfSchema(Tokens, document.RootElement.Clone());
    }

    private static EngineHarness Harness()
    {
        byte[][] pieces = [.. Enumerable.Range(0, Vocabulary).Select(Piece)];
        HashSet<int> special = [SmallVocabulary.Message, End, .. Enumerable.Range(SmallVocabulary.Pieces.Count, Vocabulary - SmallVocabulary.Pieces.Count)];
        return new EngineHarness(
            new SimulatedForward(vocabulary: Vocabulary), new TokenTable(pieces, special, new HashSet<int> { End }, new HashSet<int>(), stripsSpace: false), events: 256);
    }
}
