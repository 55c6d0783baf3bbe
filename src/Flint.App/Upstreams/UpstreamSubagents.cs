using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Upstreams;

/// <summary>
/// Tokens of the prompts that one tree of answers may have. Each prompt is set aside before it is asked and settled after, so that all
/// together are never more than was reserved. Any thread.
/// </summary>
/// <param name="tokens">How many.</param>
internal sealed class UpstreamPrompts(long tokens)
{
    private readonly Lock _gate = new();
    private readonly TokenBudget _tokens = new(tokens);

    /// <summary>Sets a prompt aside.</summary>
    /// <param name="most">The most tokens that it may have.</param>
    /// <returns>Whether there was room.</returns>
    public bool TryReserve(long most)
    {
        lock (_gate)
            return most <= Math.Min(_tokens.Left, int.MaxValue) && _tokens.Reserve((int)most) == most;
    }

    /// <summary>Settles one.</summary>
    /// <param name="most">What was set aside.</param>
    /// <param name="used">The tokens that it had.</param>
    public void Settle(long most, long used)
    {
        lock (_gate)
            _tokens.Settle((int)most, (int)used, discarded: false);
    }
}

/// <summary>The conversation with one sub-agent of an upstream's.</summary>
/// <param name="messages">What it begins with.</param>
/// <param name="tools">What it is offered.</param>
internal sealed class UpstreamTalk(IReadOnlyList<ChatMessage> messages, IReadOnlyList<ToolDefinition> tools) : SubagentTalk
{
    private readonly List<ChatMessage> _messages = [.. messages];
    private readonly List<ResponseDelta> _deltas = []; // of the turn
    private ChatDraft? _turn;
    private int _calls;

    /// <summary>What was said until now.</summary>
    public IReadOnlyList<ChatMessage> Messages => _messages;

    /// <summary>What is offered.</summary>
    public IReadOnlyList<ToolDefinition> Tools => tools;

    /// <summary>Prompts are not told in tokens here.</summary>
    public override int[] Prompt => [];

    /// <summary>Takes what the upstream tells of the turn.</summary>
    public void Take(in ResponseDelta delta) => _deltas.Add(delta.Kind == ResponseDeltaKind.ToolCallStart ? delta with { ToolId = $"call_{delta.ToolIndex}" } : delta);

    /// <summary>There are no tokens to read.</summary>
    public override string Read(in TokenEvent next) => "";

    /// <inheritdoc/>
    public override SubagentTurn End()
    {
        _turn = ChatDraft.Join(_deltas, 0);
        return new SubagentTurn(_turn.Reasoning, _turn.Content, [.. _turn.Calls.Select(call => new FunctionCall(call.Name, call.Arguments))]);
    }

    /// <inheritdoc/>
    public override void Answer(IReadOnlyList<string> results)
    {
        _messages.AddRange(ChatSubagents.Messages(_turn!, results, _calls));
        _calls += results.Count;
        _deltas.Clear();
    }
}

/// <summary>Turns of sub-agents that upstreams compute, a request each.</summary>
/// <param name="model">The model.</param>
/// <param name="request">What every turn is asked, but for messages, functions, limit and seed.</param>
/// <param name="prompts">What all prompts of the tree may have.</param>
internal sealed class UpstreamSubagents(UpstreamModel model, UpstreamRequest request, UpstreamPrompts prompts) : SubagentHost
{
    /// <summary>Told of every answer before it is asked for, and of targets that failed.</summary>
    public required (Action<UpstreamAnswer> Asked, Action<string> Note) Tell { get; init; }

    /// <inheritdoc/>
    public override int Room(SubagentTalk talk) => model.Options.MaxOutput;

    /// <inheritdoc/>
    public override Task<SubagentRun> StartAsync(SubagentTalk talk, int maxTokens, ulong seed, CancellationToken stop)
    {
        var own = (UpstreamTalk)talk;
        UpstreamRequest asked = request with
        {
            Messages = UpstreamRequest.WriteMessages(own.Messages),
            Tools = UpstreamRequest.WriteTools(own.Tools, []),
            MaxTokens = maxTokens,
            Sampling = request.Sampling.WithSeed(seed & int.MaxValue), // some servers read no larger number
        };
        long most = asked.MostPromptTokens(model.Options);
        if (!prompts.TryReserve(most))
            throw FlintException.Caller("subagent_prompt", $"The prompt may have {most} tokens, more than are left to prompts.");
        var answer = new UpstreamAnswer(model, asked);
        Tell.Asked(answer);
        return Task.FromResult<SubagentRun>(new Run(this, answer, own, most));
    }

    private void Settle(long most, long used) => prompts.Settle(most, used);

    private sealed class Run(UpstreamSubagents host, UpstreamAnswer answer, UpstreamTalk talk, long most) : SubagentRun
    {
        private bool _hasEnded;

        public override int PromptTokens => (int)answer.Usage.PromptTokens;

        public override int OutputTokens => (int)answer.Usage.OutputTokens;

        public override async Task<(AgentEnd End, string? Fault)> ReadAsync(Func<string, ValueTask> tell, CancellationToken stop)
        {
            try
            {
                await answer.BeginInTurnAsync(host.Tell.Note, stop);
                string? finish = null;
                var news = new List<UpstreamNews>();
                while (await answer.ReadAsync(news))
                {
                    foreach (UpstreamNews one in news)
                    {
                        finish = one.Finish ?? finish;
                        if (one.Finish is not null)
                            continue;
                        talk.Take(one.Delta);
                        if (one.Delta.Kind == ResponseDeltaKind.Reasoning)
                            await tell(one.Delta.Text);
                    }

                    news.Clear();
                }

                return finish switch
                {
                    "length" => (AgentEnd.Length, null),
                    "content_filter" => (AgentEnd.Failed, "A rule of the upstream's ended it."),
                    _ => (AgentEnd.Finished, null),
                };
            }
            catch (Exception) when (stop.IsCancellationRequested)
            {
                return (AgentEnd.Cancelled, null);
            }
            catch (FlintException fault) when (fault.Side != FaultSide.Bug)
            {
                return (AgentEnd.Failed, fault.Message);
            }
        }

        public override async Task EndAsync()
        {
            if (_hasEnded)
                return;
            _hasEnded = true;
            await answer.DisposeAsync();
            host.Settle(most, answer.Usage.PromptTokens);
        }
    }
}
