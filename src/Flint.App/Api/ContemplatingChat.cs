using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>
/// A chat answer in the contemplating mode: what the agents write is reasoning, their common answer is content, so that a client
/// needs to know nothing of agents.
/// </summary>
/// <param name="turn">What was asked.</param>
/// <param name="script">Puts what agents write into one text.</param>
internal abstract class ContemplatingChat(ChatTurn turn, AgentScript script)
{
    /// <summary>The answer.</summary>
    public ChatOutput Output { get; } = new(0, OutputFilter.Of(turn.Meter, 0), turn.Meter.Answers);

    /// <summary>Has the agents think and agree.</summary>
    /// <param name="tell">Told of everything that happens, once it is part of the answer.</param>
    /// <param name="cancellation">The client has left.</param>
    public async Task RunAsync(Func<ContemplationEvent, ValueTask> tell, CancellationToken cancellation)
    {
        Refuse(turn.Request);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            Conclude(await ThinkAsync(
                async news =>
                {
                    Take(news);
                    await Output.JudgeAsync(cancellation);
                    if (Output.IsDenied)
                        await over.CancelAsync();
                    await tell(news);
                },
                over.Token));
        }
        catch (OperationCanceledException) when (Output.IsDenied && !cancellation.IsCancellationRequested)
        {
            // A rule has ended the answer among the thoughts of its agents.
            Output.FinishReason = OutputFilter.FinishReason;
        }

        await Output.JudgeAsync(cancellation);
    }

    /// <summary>Reserves what the tree may use, and has its agents think and agree.</summary>
    /// <param name="tell">Told of everything that happens.</param>
    /// <param name="cancellation">Ends every agent.</param>
    protected abstract Task<ContemplationTrace> ThinkAsync(Func<ContemplationEvent, ValueTask> tell, CancellationToken cancellation);

    /// <summary>Counts as reasoning all tokens but those that the answer's own agent wrote outside its thoughts.</summary>
    /// <param name="trace">The tree.</param>
    /// <param name="speaker">That agent; null where there is no answer.</param>
    protected abstract void Count(ContemplationTrace trace, AgentTrace? speaker);

    /// <summary>Takes what happened into the answer.</summary>
    protected virtual void Take(in ContemplationEvent news)
    {
        if (script.Take(news) is { Length: > 0 } told && !turn.Request.HidesReasoning)
            Output.Add(new ResponseDelta(ResponseDeltaKind.Reasoning, told));
    }

    private static void Refuse(ChatRequest request)
    {
        if (request.Generation.Choices > 1)
            throw ApiException.Unsupported("n", "Unsupported value: 'n' above 1 in the mode 'contemplating', in which all agents make one answer.");
        if (request.TopLogprobs >= 0)
            throw ApiException.Unsupported("logprobs", "Unsupported value: 'logprobs' in the mode 'contemplating'; include 'contemplation' to see every agent's confidence.");
        if (request.Generation.IgnoreEos)
            throw ApiException.Unsupported("ignore_eos", "Unsupported value: 'ignore_eos' in the mode 'contemplating', in which agents must come to an end.");
        if (request.Conversation.RawPrompt is not null)
            throw ApiException.Unsupported("raw", "Unsupported value: 'raw' in the mode 'contemplating', in which agents read a conversation.");
    }

    private void Conclude(ContemplationTrace trace)
    {
        AgentTrace? speaker = trace.Answer.Agent < 0 ? null : trace.Agents[trace.Answer.Agent];
        Count(trace, speaker);
        turn.Meter.CountDiscarded(trace.Cost.DiscardedTokens);

        if (trace.Answer.Content.Length > 0)
            Output.Add(new ResponseDelta(ResponseDeltaKind.Content, trace.Answer.Content));
        if (speaker is { Kind: AnswerKind.Call, Answer: { } calls })
        {
            foreach (ToolCall call in ChatDraft.CallsOf(calls))
            {
                int index = Output.Calls;
                Output.Add(new ResponseDelta(ResponseDeltaKind.ToolCallStart, "", index, call.Name, turn.NewCallId(index)));
                Output.Add(new ResponseDelta(ResponseDeltaKind.ToolCallArguments, call.Arguments, index));
                Output.Add(new ResponseDelta(ResponseDeltaKind.ToolCallEnd, "", index));
            }
        }

        Output.Trace = trace;
        Output.IsLate = !trace.Answer.InTime;
        Output.FinishReason = speaker?.End != AgentEnd.Finished ? "length" : Output.Calls > 0 ? "tool_calls" : "stop";
    }
}
