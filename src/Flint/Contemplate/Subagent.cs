using System.Text;
using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>One sub-agent at work: turn after turn, each as a sequence of its own, until it answers.</summary>
/// <param name="plan">What was decided before.</param>
/// <param name="shared">What it has in common with the others.</param>
/// <param name="below">What it may spawn, and the budget of both.</param>
internal sealed class Subagent(SubagentPlan plan, Subagents.Shared shared, Subagents below)
{
    private const int MaxTurns = 32;

    private readonly StringBuilder _reasoning = new();
    private readonly List<SubagentCallTrace> _calls = [];
    private string _content = "";
    private int _promptTokens;
    private long _outputTokens;

    /// <summary>What it may spawn, and the budget of both.</summary>
    public Subagents Below => below;

    /// <summary>Runs it to its end; what goes wrong with it alone is told in its trace.</summary>
    /// <exception cref="OperationCanceledException">It was stopped; its sequence has ended.</exception>
    /// <exception cref="FlintException">Limit: the engine is shutting down.</exception>
    public async Task<SubagentTrace> RunAsync(CancellationToken stop)
    {
        AgentEnd end = AgentEnd.Failed;
        string? fault = null;
        try
        {
            (end, fault) = await AnswerAsync(stop).ConfigureAwait(false);
        }
        catch (FlintException refused) when (refused.Code != "shutting_down")
        {
            fault = refused.Message;
        }
        var trace = new SubagentTrace
        {
            Plan = plan,
            End = end,
            Fault = fault,
            Reasoning = _reasoning.ToString(),
            Content = _content,
            PromptTokens = _promptTokens,
            OutputTokens = _outputTokens,
            Calls = _calls,
        };
        await shared.TellAsync(new SubagentEvent { Kind = SubagentEventKind.Ended, Path = plan.Path, Trace = trace }, stop).ConfigureAwait(false);
        return trace;
    }

    private async Task<(AgentEnd End, string? Fault)> AnswerAsync(CancellationToken stop)
    {
        SubagentTalk talk = shared.Task.Begin(plan.Message, below.MaySpawn);
        if (talk.Prompt.Length > shared.Options.PromptTokens)
            return (AgentEnd.Failed, $"The prompt has {talk.Prompt.Length} tokens; expected at most {shared.Options.PromptTokens}.");
        for (int turn = 0; ; turn++)
        {
            (AgentEnd end, string? fault) = await GenerateAsync(talk, turn, stop).ConfigureAwait(false);
            SubagentTurn said = talk.End();
            _reasoning.Append(said.Reasoning);
            _content = said.Content;
            if (end == AgentEnd.Failed)
                return (AgentEnd.Failed, fault);
            if (end == AgentEnd.Length || (said.Calls.Count > 0 && turn + 1 == MaxTurns))
                return (AgentEnd.Length, null);
            if (said.Calls.Count == 0)
                return (AgentEnd.Finished, null);
            var results = new List<string>();
            foreach (FunctionCall call in said.Calls)
            {
                _calls.Add(await below.CallAsync(call, stop).ConfigureAwait(false));
                results.Add(_calls[^1].Result());
            }
            talk.Answer(results);
        }
    }

    /// <summary>One turn, from what the talk goes on from to its end.</summary>
    private async Task<(AgentEnd End, string? Fault)> GenerateAsync(SubagentTalk talk, int turn, CancellationToken stop)
    {
        int room = shared.Host.Room(talk);
        if (turn > 0 && room <= 0)
            return (AgentEnd.Length, null);
        // A first prompt that leaves no room is the host's to refuse.
        int granted = below.Tokens.Reserve((int)Math.Min(Math.Max(room, 1), below.Tokens.Left));
        if (granted == 0)
            return (AgentEnd.Length, null);
        SubagentRun? run = null;
        try
        {
            run = await shared.Host.StartAsync(talk, granted, Subagents.SeedOf(plan.Seed, turn), stop).ConfigureAwait(false);
            await shared.TellAsync(new SubagentEvent { Kind = SubagentEventKind.Started, Path = plan.Path, Sequence = run.Sequence, Turn = turn }, stop).ConfigureAwait(false);
            (AgentEnd, string?) end = await run.ReadAsync(
                thoughts => shared.TellAsync(new SubagentEvent { Kind = SubagentEventKind.Thought, Path = plan.Path, Text = thoughts }, stop), stop).ConfigureAwait(false);
            stop.ThrowIfCancellationRequested();
            return end;
        }
        finally
        {
            if (run is not null)
                await run.EndAsync().ConfigureAwait(false);
            int used = run?.OutputTokens ?? 0;
            _outputTokens += used;
            if (turn == 0)
                _promptTokens = run?.PromptTokens ?? 0;
            below.Tokens.Settle(granted, used, discarded: false);
        }
    }
}
