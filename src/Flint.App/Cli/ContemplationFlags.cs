using System.CommandLine;
using Flint.Contemplate;
using Flint.Engine;

namespace Flint.App.Cli;

/// <summary>The options of a contemplation, as several verbs have them.</summary>
internal sealed class ContemplationFlags
{
    private static readonly ContemplationOptions Defaults = new();

    private readonly Option<int> _agents = Verb.Range(new Option<int>("--agents") { Description = "Agents that explore, at most.", DefaultValueFactory = _ => Defaults.Agents, HelpName = "K" }, 1, ContemplationOptions.MaxAgents);
    private readonly Option<int> _firstWave = Verb.Range(new Option<int>("--first-wave") { Description = "Agents of the first wave.", DefaultValueFactory = _ => Defaults.FirstWave, HelpName = "N" }, 1, ContemplationOptions.MaxAgents);
    private readonly Option<int> _wave = Verb.Range(new Option<int>("--wave") { Description = "Agents of every further wave.", DefaultValueFactory = _ => Defaults.Wave, HelpName = "N" }, 1, ContemplationOptions.MaxAgents);
    private readonly Option<float> _stopError = Verb.Range(new Option<float>("--stop-error") { Description = "Stop after a wave once the leading answer loses the majority with at most this probability; 0 never stops early.", DefaultValueFactory = _ => (float)Defaults.StopError, HelpName = "P" }, 0, 0.499f);
    private readonly Option<float> _temperature = Verb.Range(new Option<float>("--temperature") { Description = "The middle of the agents' temperatures.", DefaultValueFactory = _ => Defaults.Temperature, HelpName = "T" }, 0, 100);
    private readonly Option<float> _spread = Verb.Range(new Option<float>("--temperature-spread") { Description = "How far temperatures lie from the middle.", DefaultValueFactory = _ => Defaults.TemperatureSpread, HelpName = "T" }, 0, 100);
    private readonly Option<int> _window = Verb.Range(new Option<int>("--window") { Description = "Tokens that confidence is measured over.", DefaultValueFactory = _ => Defaults.Window, HelpName = "N" }, 1, ConfidenceWindow.MaxTokens);
    private readonly Option<int> _top = Verb.Range(new Option<int>("--confidence-top") { Description = "Measure confidence by this many of the likeliest tokens; 0 by the chosen one.", HelpName = "K" }, 0, GenerationRequest.MaxTopLogprobs);
    private readonly Option<float> _prune = Verb.Range(new Option<float>("--prune") { Description = "Cut off later agents below this percentile of the first wave's confidence; 0 cuts none off.", DefaultValueFactory = _ => (float)Defaults.PrunePercentile, HelpName = "PERCENT" }, 0, 100);
    private readonly Option<float> _weight = Verb.Range(new Option<float>("--weight-power") { Description = "How much confidence weighs in a vote; 0 for equal votes.", DefaultValueFactory = _ => (float)Defaults.WeightPower, HelpName = "P" }, 0, 100);
    private readonly Option<int?> _agentTokens = Verb.Range(new Option<int?>("--agent-tokens") { Description = "The most tokens of one agent.", HelpName = "N" }, 1, int.MaxValue);
    private readonly Option<int?> _maxTokens = Verb.Range(new Option<int?>("--max-tokens") { Description = "The most tokens of all agents together.", HelpName = "N" }, 1, int.MaxValue);
    private readonly Option<int> _rounds = Verb.Range(new Option<int>("--rounds") { Description = "Rounds in which every agent writes its answer anew.", HelpName = "T" }, 0, ContemplationOptions.MaxRounds);
    private readonly Option<int> _subset = Verb.Range(new Option<int>("--subset") { Description = "Drafts an agent sees then: 1 is its own.", DefaultValueFactory = _ => Defaults.Subset, HelpName = "K" }, 1, ContemplationOptions.MaxDrafts);
    private readonly Option<Aggregation> _aggregation = new("--aggregation") { Description = "How answers become one.", DefaultValueFactory = _ => Defaults.Aggregation };

    /// <summary>Adds the options to a verb.</summary>
    internal void AddTo(Command command)
    {
        foreach (Option option in (Option[])[_agents, _firstWave, _wave, _stopError, _temperature, _spread, _window, _top, _prune, _weight, _agentTokens, _maxTokens, _rounds, _subset, _aggregation])
            command.Add(option);
    }

    /// <summary>What was asked for.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="seed">Fixes the draws.</param>
    /// <param name="agentTokens">The most tokens of one agent where none are named.</param>
    internal ContemplationOptions Read(ParseResult parsed, ulong seed, int? agentTokens = null) => new()
    {
        Agents = parsed.GetValue(_agents),
        FirstWave = parsed.GetValue(_firstWave),
        Wave = parsed.GetValue(_wave),
        // Through decimal, so that 0.05 is the number that was written.
        StopError = (double)(decimal)parsed.GetValue(_stopError),
        Temperature = parsed.GetValue(_temperature),
        TemperatureSpread = parsed.GetValue(_spread),
        Window = parsed.GetValue(_window),
        ConfidenceTop = parsed.GetValue(_top),
        PrunePercentile = parsed.GetValue(_prune),
        WeightPower = (double)(decimal)parsed.GetValue(_weight),
        AgentTokens = parsed.GetValue(_agentTokens) ?? agentTokens ?? Defaults.AgentTokens,
        MaxTokens = parsed.GetValue(_maxTokens) ?? long.MaxValue,
        Rounds = parsed.GetValue(_rounds),
        Subset = parsed.GetValue(_subset),
        Aggregation = parsed.GetValue(_aggregation),
        Seed = seed,
    };
}
