using Flint.App.Accounts;

namespace Flint.App.Upstreams;

/// <summary>How an upstream is told to think, or not to.</summary>
public enum UpstreamReasoning
{
    /// <summary>By the field <c>reasoning_effort</c>.</summary>
    Effort,

    /// <summary>By the variable <c>enable_thinking</c> of its chat template.</summary>
    Template,

    /// <summary>Not at all: it has no thoughts.</summary>
    None,
}

/// <summary>A model that upstreams serve: what is asked of all of them, and which they are.</summary>
public sealed record UpstreamOptions
{
    /// <summary>Most targets of a model.</summary>
    public const int MaxTargets = 64;

    /// <summary>Its name in the API.</summary>
    public required string Name { get; init; }

    /// <summary>Who serves it, at least one, each by another name.</summary>
    public required IReadOnlyList<TargetOptions> Targets { get; init; }

    /// <summary>The most tokens of an answer; a request that names more, or none, gets these.</summary>
    public int MaxOutput { get; init; } = 4096;

    /// <summary>The longest prompt and answer together, in tokens; null where it is not known.</summary>
    public int? Context { get; init; }

    /// <summary>The most tokens that the upstream's template adds to what a request says.</summary>
    public int PromptOverhead { get; init; } = 1024;

    /// <summary>How it is told to think.</summary>
    public UpstreamReasoning Reasoning { get; init; }

    /// <summary>Whether fields are sent that the OpenAI API itself does not know.</summary>
    public bool Extensions { get; init; } = true;

    /// <summary>Whether every chunk is asked to tell the usage until then.</summary>
    public bool ContinuousUsage { get; init; }

    /// <summary>Whether agents that contemplate are asked for the log-probabilities of their tokens.</summary>
    public bool Logprobs { get; init; } = true;

    /// <summary>The field that tells the most tokens of an answer.</summary>
    public string OutputField { get; init; } = "max_tokens";

    /// <summary>How many targets are asked at most for one answer.</summary>
    public int Attempts { get; init; } = 3;

    /// <summary>The longest wait for a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The longest wait for the first byte of an answer, the connection included.</summary>
    public TimeSpan FirstTimeout { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>The longest wait for each further byte.</summary>
    public TimeSpan ChunkTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>What is asked to know whether a target is up: relative to its base, or, from a slash on, to its host.</summary>
    public string HealthPath { get; init; } = "models";

    /// <summary>Time from one such check to the next; zero for none.</summary>
    public TimeSpan HealthInterval { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Failures in a row that open a target's circuit.</summary>
    public int CircuitFailures { get; init; } = 5;

    /// <summary>How long an open circuit lets nothing pass.</summary>
    public TimeSpan CircuitDelay { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>One of those that serve a model.</summary>
public sealed record TargetOptions
{
    /// <summary>Its name, for records and metrics.</summary>
    public required string Name { get; init; }

    /// <summary>What its routes stand under, such as <c>http://10.0.0.7:8000/v1</c>.</summary>
    public required Uri BaseUrl { get; init; }

    /// <summary>The model's name there.</summary>
    public required string Model { get; init; }

    /// <summary>The environment variable that holds its key; null for none.</summary>
    public string? KeyVariable { get; init; }

    /// <summary>The file that holds its key; null for none.</summary>
    public string? KeyFile { get; init; }

    /// <summary>Its share of the requests, by those of the others.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>Requests that it is asked at once, at most.</summary>
    public int Concurrency { get; init; } = 64;

    /// <summary>What its tokens cost; null for the model's own price.</summary>
    public Price? Price { get; init; }
}
