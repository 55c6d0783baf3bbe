using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Contemplate;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>A chat answer of an upstream's that may spawn sub-agents: what is asked turn after turn, and the budgets of all turns and agents.</summary>
/// <param name="turn">What was asked, with sub-agents.</param>
internal sealed class UpstreamSpawning(UpstreamTurn turn)
{
    private TokenBudget _tokens = null!;
    private UpstreamPrompts _prompts = null!;
    private (UpstreamAnswer Answer, int Tokens, long Prompt)? _asked; // not settled yet

    /// <summary>The calls and the agents, once what they may use is reserved.</summary>
    public SpawningChat Chat { get; private set; } = null!;

    /// <summary>Reserves what the answer and its agents may use.</summary>
    /// <returns>The first turn, not begun yet.</returns>
    public async Task<UpstreamAnswer> ReserveAsync()
    {
        SubagentOptions options = turn.Request.Subagents!;
        (long prompts, long tokens) = await turn.ReserveTreeAsync(options);
        _prompts = new UpstreamPrompts(prompts);
        _tokens = new TokenBudget(tokens);
        var conversation = new TemplateInput { Messages = turn.Request.Conversation.Messages, Tools = turn.Request.Conversation.Tools };
        Chat = new SpawningChat(turn, conversation, _tokens, tell => new Subagents(turn.Host(_prompts), NewTask(conversation, tell), options, _tokens));
        return Ask() ?? throw FlintException.Caller("context_length_exceeded", "The prompt leaves an answer no room.");
    }

    /// <summary>Asks for the next turn.</summary>
    /// <returns>It, not begun yet; null where there is no room for it.</returns>
    public UpstreamAnswer? Ask()
    {
        UpstreamRequest request = turn.RequestOf(Chat.Conversation.Messages, Chat.Rounds);
        long prompt = turn.MostPromptTokens(request);
        if (_tokens.Left == 0 || !_prompts.TryReserve(prompt))
            return null;
        int granted = _tokens.Reserve(request.MaxTokens);
        UpstreamAnswer answer = turn.Ask(request with { MaxTokens = granted });
        _asked = (answer, granted, prompt);
        return answer;
    }

    /// <summary>Settles a turn that has ended.</summary>
    public void Settle(UpstreamAnswer answer)
    {
        if (_asked is not { } asked || asked.Answer != answer)
            return;
        _asked = null;
        _tokens.Settle(asked.Tokens, (int)answer.Usage.OutputTokens, discarded: false);
        _prompts.Settle(asked.Prompt, answer.Usage.PromptTokens);
    }

    /// <summary>Ends agents that still run, and tells the tree. Needs no client.</summary>
    /// <param name="last">The turn that was broken off; null for none.</param>
    /// <param name="output">The answer.</param>
    public async Task EndAsync(UpstreamAnswer? last, ChatOutput output)
    {
        await Chat.LeaveAsync();
        if (last is not null)
            Settle(last);
        output.Subagents = Chat.Tree();
        turn.Meter.CountDiscarded(_tokens.Discarded);
    }

    private static SubagentTask NewTask(TemplateInput conversation, Func<SubagentEvent, CancellationToken, ValueTask> tell)
    {
        ChatMessage[] system = [.. conversation.Messages.TakeWhile(message => message.Role is "system" or "developer")];
        return new SubagentTask
        {
            Begin = (message, maySpawn) => new UpstreamTalk([.. system, new ChatMessage { Role = "user", Content = message }], maySpawn ? [ChatSubagents.Offer()] : []),
            Tell = tell,
        };
    }
}
