using System.Security.Cryptography;
using System.Text.Json;
using Flint.Contemplate;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>How to contemplate: the object <c>contemplation</c> of a chat request.</summary>
/// <param name="Options">The parameters.</param>
/// <param name="Perspectives">What exploring agents are asked beside the conversation, in turn.</param>
/// <param name="Adapters">Names of the adapters that exploring agents generate with, in turn; the model's own name for none.</param>
internal sealed record ContemplationFields(ContemplationOptions Options, IReadOnlyList<string> Perspectives, IReadOnlyList<string> Adapters)
{
    /// <summary>The checker that answers are put to, by name; null for none.</summary>
    public string? Checker { get; init; }

    /// <summary>The tests that the checker runs.</summary>
    public string Tests { get; init; } = "";

    private static readonly string[] Aggregations = ["auto", "vote", "synthesis"];

    /// <summary>Reads it; absent fields have the engine's defaults. The most tokens of the answer hold for all agents together, as usage counts them all.</summary>
    /// <param name="body">The request's body.</param>
    /// <param name="drawing">The fields that say how tokens are drawn.</param>
    /// <param name="sampling">The same, read.</param>
    /// <param name="maxTokens">The most tokens of the answer; null for no limit.</param>
    /// <exception cref="ApiException">A field has a wrong type or value.</exception>
    public static ContemplationFields Read(JsonFields body, JsonFields? drawing, SamplingOptions sampling, int? maxTokens)
    {
        var defaults = new ContemplationOptions
        {
            Seed = sampling.Seed ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))),
            MaxTokens = maxTokens ?? long.MaxValue,
            Deadline = GenerationFields.ReadDeadline(body),
        };
        defaults = defaults with { Temperature = (float)(drawing?.Number("temperature", 0, 2) ?? defaults.Temperature) };
        if (body.Object("contemplation") is not JsonFields own)
            return new ContemplationFields(defaults, [], []);
        ContemplationOptions options = defaults with
        {
            Agents = own.Int("agents", 1, ContemplationOptions.MaxAgents) ?? defaults.Agents,
            FirstWave = own.Int("first_wave", 1, ContemplationOptions.MaxAgents) ?? defaults.FirstWave,
            Wave = own.Int("wave", 1, ContemplationOptions.MaxAgents) ?? defaults.Wave,
            StopError = own.Number("stop_error", 0, 0.499) ?? defaults.StopError,
            TemperatureSpread = (float)(own.Number("temperature_spread", 0, 2) ?? defaults.TemperatureSpread),
            Window = own.Int("window", 1, ConfidenceWindow.MaxTokens) ?? defaults.Window,
            ConfidenceTop = own.Int("confidence_top", 0, ApiLimits.MaxTopLogprobs) ?? defaults.ConfidenceTop,
            PrunePercentile = own.Number("prune_percentile", 0, 100) ?? defaults.PrunePercentile,
            WeightPower = own.Number("weight_power", 0, 100) ?? defaults.WeightPower,
            AgentTokens = own.Int("agent_tokens", 1, int.MaxValue) ?? defaults.AgentTokens,
            Rounds = own.Int("rounds", 0, ContemplationOptions.MaxRounds) ?? defaults.Rounds,
            Subset = own.Int("subset", 1, ContemplationOptions.MaxDrafts) ?? defaults.Subset,
            Aggregation = (Aggregation)Math.Max(0, Array.IndexOf(Aggregations, own.Choice("aggregation", Aggregations))),
            Deadline = GenerationFields.ReadDeadline(own) ?? defaults.Deadline,
        };
        string? checker = own.Text("checker"), tests = own.Text("tests");
        if (tests is not null && checker is null)
            throw ApiException.Missing(own.PathOf("checker"));
        return new ContemplationFields(options, ReadTexts(own, "perspectives"), ReadTexts(own, "adapters")) { Checker = checker, Tests = tests ?? "" };
    }

    private static string[] ReadTexts(JsonFields own, string name) => own.Array(name, ContemplationOptions.MaxAgents) is JsonElement array
        ? [.. array.EnumerateArray().Select((one, i) => JsonFields.Text(one, $"{own.PathOf(name)}[{i}]"))] : [];
}
