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
            (FinishReason reason, FlintException? broken) = await GenerateAsync(talk, turn, stop).ConfigureAwait(false);
            SubagentTurn said = talk.End();
            _reasoning.Append(said.Reasoning);
            _content = said.Content;
            if (reason == FinishReason.Error)
                return (AgentEnd.Failed, broken?.Message);
            if (reason == FinishReason.Length || (said.Calls.Count > 0 && turn + 1 == MaxTurns))
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

    /// <summary>One turn: a sequence from the talk's prompt to its end.</summary>
    private async Task<(FinishReason Reason, FlintException? Fault)> GenerateAsync(SubagentTalk talk, int turn, CancellationToken stop)
    {
        int room = shared.Engine.ContextLength - talk.Prompt.Length;
        if (turn > 0 && room <= 0)
            return (FinishReason.Length, null);
        // A first prompt that leaves no room is the engine's to refuse.
        int granted = below.Tokens.Reserve((int)Math.Min(Math.Max(room, 1), below.Tokens.Left));
        if (granted == 0)
            return (FinishReason.Length, null);
        Sequence? sequence = null;
        try
        {
            sequence = await below.SubmitAsync(new GenerationRequest
            {
                Prompt = talk.Prompt,
                MaxTokens = granted,
                Sampling = shared.Task.Sampling.WithSeed(Subagents.SeedOf(plan.Seed, turn)),
                Stop = shared.Task.Stop,
                Adapter = shared.Task.Adapter,
                CacheSalt = shared.Task.CacheSalt,
                Share = shared.Task.Share,
            }, stop).ConfigureAwait(false);
            if (turn == 0)
                _promptTokens = sequence.PromptTokens;
            await ReadAsync(sequence, talk, turn, stop).ConfigureAwait(false);
        }
        finally
        {
            int used = sequence?.OutputTokens ?? 0;
            _outputTokens += used;
            below.Tokens.Settle(granted, used, discarded: false);
        }
        stop.ThrowIfCancellationRequested();
        if (sequence.FinishReason == FinishReason.Cancelled)
            throw new FlintException(FaultSide.Limit, "shutting_down", "The engine is shutting down and ended the agents.");
        return (sequence.FinishReason ?? FinishReason.Error, sequence.Fault);
    }

    private async Task ReadAsync(Sequence sequence, SubagentTalk talk, int turn, CancellationToken stop)
    {
        string thoughts = "";
        try
        {
            await shared.TellAsync(new SubagentEvent { Kind = SubagentEventKind.Started, Path = plan.Path, Sequence = sequence, Turn = turn }, stop).ConfigureAwait(false);
            await SequenceReader.ReadAsync(sequence, Take, TellAsync, stop).ConfigureAwait(false);
        }
        finally
        {
            await SequenceReader.EndAsync(sequence, Take).ConfigureAwait(false);
        }

        void Take(TokenEvent next) => thoughts = next.Kind == TokenEventKind.Finished ? "" : talk.Read(next);

        ValueTask TellAsync(TokenEvent next) => thoughts.Length == 0
            ? ValueTask.CompletedTask
            : shared.TellAsync(new SubagentEvent { Kind = SubagentEventKind.Thought, Path = plan.Path, Text = thoughts }, stop);
    }
}
