using System.Text.Json;
using System.Text.Json.Serialization;
using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>What an agent is for.</summary>
public enum AgentStage
{
    /// <summary>It answers the prompt.</summary>
    Explore,

    /// <summary>It writes anew, with one or more drafts before it.</summary>
    Revise,

    /// <summary>It makes one answer of the drafts.</summary>
    Synthesize,
}

/// <summary>How an agent ended.</summary>
public enum AgentEnd
{
    /// <summary>By itself.</summary>
    Finished,

    /// <summary>At its most tokens, or at the end of the context.</summary>
    Length,

    /// <summary>Its confidence fell below what it had to keep.</summary>
    Pruned,

    /// <summary>A fault ended it.</summary>
    Failed,

    /// <summary>The deadline cut it off.</summary>
    Deadline,

    /// <summary>The contemplation was cancelled.</summary>
    Cancelled,
}

/// <summary>Why no more agents explored.</summary>
public enum ExploreEnd
{
    /// <summary>All had.</summary>
    Exhausted,

    /// <summary>The answer was settled.</summary>
    Settled,

    /// <summary>No tokens were left.</summary>
    Budget,

    /// <summary>No time was left.</summary>
    Deadline,
}

/// <summary>What is decided of an agent before it starts.</summary>
/// <param name="Index">Its number in the tree, from 0.</param>
/// <param name="Stage">What it is for.</param>
/// <param name="Round">The wave it explores in, or the round it revises in, from 0.</param>
/// <param name="Drafts">The agents whose drafts it reads.</param>
/// <param name="Seed">Fixes its draws.</param>
/// <param name="Temperature">Divides its logits.</param>
/// <param name="MaxTokens">Tokens reserved for it.</param>
/// <param name="Floor">The confidence it has to keep; null for none.</param>
/// <param name="Prompt">Its prompt in token ids; null for the tree's own.</param>
/// <param name="Viewpoint">What it was asked beside the others (<see cref="Contemplate.Viewpoint.Name"/>); null for nothing.</param>
/// <param name="Adapter">The adapter it generates with, by name; null for the task's own.</param>
public sealed record AgentPlan(
    int Index, AgentStage Stage, int Round, IReadOnlyList<int> Drafts, ulong Seed, float Temperature, int MaxTokens, double? Floor, IReadOnlyList<int>? Prompt,
    string? Viewpoint = null, string? Adapter = null);

/// <summary>What became of an agent.</summary>
public sealed record AgentTrace
{
    /// <summary>What was decided before.</summary>
    public required AgentPlan Plan { get; init; }

    /// <summary>How it ended.</summary>
    public required AgentEnd End { get; init; }

    /// <summary>The sentence of the fault that ended it.</summary>
    public string? Fault { get; init; }

    /// <summary>Its thoughts.</summary>
    public required string Reasoning { get; init; }

    /// <summary>Its answer in its own words.</summary>
    public required string Content { get; init; }

    /// <summary>What kind of answer it gave; null where it gave none.</summary>
    public AnswerKind? Kind { get; init; }

    /// <summary>The form in which its answer is compared; null where it gave none.</summary>
    public string? Answer { get; init; }

    /// <summary>Whether its answer passed the check; null where it was put to none. One whose check did not end in time has failed.</summary>
    public bool? Passed { get; init; }

    /// <summary>The tokens it generated. Where a stop string ended it, the last of that string's tokens may be missing.</summary>
    public required IReadOnlyList<int> Tokens { get; init; }

    /// <summary>Tokens it cost, all counted.</summary>
    public required int OutputTokens { get; init; }

    /// <summary>The mean confidence of the sliding window after every half window of tokens.</summary>
    public required IReadOnlyList<double> Windows { get; init; }

    /// <summary>The lowest window's mean: its confidence. 0 of no tokens.</summary>
    public required double Confidence { get; init; }
}

/// <summary>The answer of a contemplation.</summary>
/// <param name="Agent">The agent whose words it is; -1 where none gave an answer.</param>
/// <param name="Content">The words.</param>
/// <param name="Kind">What kind of answer it is; null where there is none.</param>
/// <param name="Agreement">The share of all weight that the agents gave to the leading answer.</param>
/// <param name="Confidence">How likely the answer is right: calibrated where <paramref name="Calibrated"/>, else the agreement itself.</param>
/// <param name="Calibrated">Whether <paramref name="Confidence"/> was measured on this model's answers before.</param>
/// <param name="Complete">Whether the tree came to its end; false where time or tokens ran out before.</param>
/// <param name="InTime">Whether it ended, complete or not, before its deadline.</param>
/// <param name="Passed">Whether the answer passed the check; null where it was put to none.</param>
public sealed record ContemplationAnswer(
    int Agent, string Content, AnswerKind? Kind, double Agreement, double Confidence, bool Calibrated, bool Complete, bool InTime = true, bool? Passed = null);

/// <summary>What a tree cost, in tokens.</summary>
/// <param name="PromptTokens">Of the tree's prompt, once, or of every viewpoint's, once; and of the prompts of agents that read drafts.</param>
/// <param name="OutputTokens">Generated by all agents.</param>
/// <param name="DiscardedTokens">Of these, by agents that were pruned, failed or cut off.</param>
/// <param name="Budget">What might have been generated; null for no limit.</param>
public sealed record ContemplationCost(long PromptTokens, long OutputTokens, long DiscardedTokens, long? Budget);

/// <summary>The whole tree of a contemplation: enough to be read, and to be run again bit for bit.</summary>
public sealed record ContemplationTrace
{
    /// <summary>The longest trace that is read, in characters.</summary>
    public const int MaxChars = 1 << 28;

    /// <summary>Names the model.</summary>
    public required string Model { get; init; }

    /// <summary>The parameters.</summary>
    public required ContemplationOptions Options { get; init; }

    /// <summary>How tokens were drawn, but for temperature and seed.</summary>
    public required SamplingOptions Sampling { get; init; }

    /// <summary>Strings that ended an agent's text.</summary>
    public required IReadOnlyList<string> Stop { get; init; }

    /// <summary>The tree's prompt in token ids.</summary>
    public required IReadOnlyList<int> Prompt { get; init; }

    /// <summary>The agents, in order of their numbers.</summary>
    public required IReadOnlyList<AgentTrace> Agents { get; init; }

    /// <summary>The votes after every wave and round.</summary>
    public required IReadOnlyList<Ballot> Ballots { get; init; }

    /// <summary>Why no more agents explored.</summary>
    public required ExploreEnd Explored { get; init; }

    /// <summary>The answer.</summary>
    public required ContemplationAnswer Answer { get; init; }

    /// <summary>What it cost.</summary>
    public required ContemplationCost Cost { get; init; }

    /// <summary>As JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, TraceJson.Default.ContemplationTrace);

    /// <summary>Writes it as one JSON value.</summary>
    public void WriteTo(Utf8JsonWriter writer) => JsonSerializer.Serialize(writer, this, TraceJson.Default.ContemplationTrace);

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="FlintException">Caller: it is no such trace.</exception>
    public static ContemplationTrace FromJson(string json)
    {
        if (json.Length > MaxChars)
            throw FlintException.Caller("invalid_trace", $"A contemplation's trace has at most {MaxChars} characters; found {json.Length}.");
        try
        {
            ContemplationTrace trace = JsonSerializer.Deserialize(json, TraceJson.Default.ContemplationTrace)
                ?? throw FlintException.Caller("invalid_trace", "Expected a contemplation's trace; found null.");
            trace.Options.Validate();
            return trace;
        }
        catch (JsonException e)
        {
            throw new FlintException(FaultSide.Caller, "invalid_trace", $"Expected a contemplation's trace as JSON: {e.Message}", e);
        }
    }
}

/// <summary>How traces are written; made when Flint is compiled.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals, // a bias that forbids a token is infinite
    Converters =
    [
        typeof(SnakeCaseNames<AgentStage>), typeof(SnakeCaseNames<AgentEnd>), typeof(SnakeCaseNames<ExploreEnd>),
        typeof(SnakeCaseNames<AnswerKind>), typeof(SnakeCaseNames<Aggregation>),
    ])]
[JsonSerializable(typeof(ContemplationTrace))]
internal sealed partial class TraceJson : JsonSerializerContext;

/// <summary>Writes the values of an enumeration as names.</summary>
internal sealed class SnakeCaseNames<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false)
    where T : struct, Enum;
