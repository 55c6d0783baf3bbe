using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>
/// A chat answer in the contemplating mode: what the agents write is reasoning, their common answer is content, so that a client
/// needs to know nothing of agents.
/// </summary>
/// <param name="turn">What was asked.</param>
internal sealed class ContemplatingChat(EngineTurn turn)
{
    private readonly AgentScript _script = new(turn.Model, turn.Prompt, turn.Request.Conversation.Tools);

    /// <summary>The answer.</summary>
    public ChatOutput Output { get; } = new(0, OutputFilter.Of(turn.Meter, 0));

    /// <summary>Has the agents think and agree.</summary>
    /// <param name="tell">Told of everything that happens, once it is part of the answer.</param>
    /// <param name="cancellation">The client has left.</param>
    public async Task RunAsync(Func<ContemplationEvent, ValueTask> tell, CancellationToken cancellation)
    {
        Refuse(turn.Request);
        GenerationFields generation = turn.Request.Generation;
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        ContemplationTask task = ChatContemplation.Create(
            turn.Variant, turn.Input, generation.Sampling, generation.Stop, Variety(),
            tell: news =>
            {
                Take(news);
                if (Output.IsDenied)
                    over.Cancel();
                return tell(news);
            },
            draftTokens: turn.Request.Contemplation.Options.AgentTokens,
            grammar: turn.Grammar);
        ContemplationOptions options = await turn.ReserveAsync(task);
        try
        {
            Conclude(await Contemplation.RunAsync(turn.Model.Engine, task, options, TimeProvider.System, over.Token));
        }
        catch (OperationCanceledException) when (Output.IsDenied && !cancellation.IsCancellationRequested)
        {
            // A rule has ended the answer among the thoughts of its agents.
            Output.FinishReason = OutputFilter.FinishReason;
        }
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

    private AgentVariety Variety()
    {
        IReadOnlyList<string> names = turn.Request.Contemplation.Adapters;
        var variants = new ModelVariant[names.Count];
        for (int i = 0; i < variants.Length; i++)
        {
            string path = $"contemplation.adapters[{i}]";
            variants[i] = turn.Model.Variants.FirstOrDefault(v => v.Name == names[i] || (v.Adapter is not null && v.Name == $"{turn.Model.Name}:{names[i]}"))
                ?? throw JsonFields.InvalidChoice(path, names[i], [.. turn.Model.Variants.Select(v => v.Name)]);
        }

        return new AgentVariety(turn.Request.Contemplation.Perspectives, variants);
    }

    private void Take(in ContemplationEvent news)
    {
        if (news is { Kind: ContemplationEventKind.AgentStarted, Sequence: { } sequence })
        {
            // A prompt that agents have in common is paid once.
            if (news.SharesPrompt)
                turn.Meter.AddSharing(sequence);
            else
                turn.Meter.Add([sequence]);
        }

        if (_script.Take(news) is { Length: > 0 } told)
            Output.Add(new ResponseDelta(ResponseDeltaKind.Reasoning, told));
    }

    private void Conclude(ContemplationTrace trace)
    {
        // All is reasoning but what the answer's own agent wrote outside its thoughts.
        AgentTrace? speaker = trace.Answer.Agent < 0 ? null : trace.Agents[trace.Answer.Agent];
        int content = speaker is null ? 0 : Math.Min(speaker.OutputTokens, turn.Model.Tokenizer.Encode(speaker.Content, addSpecial: false, parseSpecial: false).Length);
        turn.Meter.CountReasoning(trace.Cost.OutputTokens - content);
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
        Output.FinishReason = speaker?.End != AgentEnd.Finished ? "length" : Output.Calls > 0 ? "tool_calls" : "stop";
    }
}
