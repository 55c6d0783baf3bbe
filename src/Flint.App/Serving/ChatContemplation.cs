using System.Text;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;
using Flint.Grammar;

namespace Flint.App.Serving;

/// <summary>A conversation as something to contemplate: how agents are prompted and read in a model's own chat format.</summary>
public static class ChatContemplation
{
    private const string CheckOwn = "Check this answer step by step. Correct what is wrong, then give the full answer again.";
    private const string Others = "Here are other answers to the same request:";
    private const string Compare = "Some may be wrong. Compare them with yours step by step, keep what is right, then give the full answer again.";
    private const string Merge = "Some may be wrong. Write the one best answer: keep what is right and what most of them agree on, leave out the rest. Give only the answer.";

    // Tokens that a prompt with drafts has at most beside the conversation and the drafts, and around every draft.
    private const int AroundPrompt = 1024, AroundDraft = 32;

    /// <summary>The most tokens that a contemplation computes as prompts, and produces.</summary>
    /// <param name="model">The model.</param>
    /// <param name="task">What to contemplate, made with the options' <see cref="ContemplationOptions.AgentTokens"/> as the most tokens of a draft.</param>
    /// <param name="options">How.</param>
    public static (long Prompts, long Output) Most(ServedModel model, ContemplationTask task, ContemplationOptions options)
    {
        int begin = task.Prompt.Length, each = Math.Min(options.AgentTokens, model.ContextLength);
        long revisions = (long)options.Agents * options.Rounds, syntheses = options.Aggregation == Aggregation.Vote ? 0 : 1;
        long prompts = (task.Viewpoints.Count == 0 ? begin : task.Viewpoints.Take(options.Agents).Sum(view => (long)view.Prompt.Length))
            + revisions * Longest(model, begin, options.AgentTokens, options.Subset) + syntheses * Longest(model, begin, options.AgentTokens, ContemplationOptions.MaxDrafts);
        return (prompts, Math.Min(options.MaxTokens, (options.Agents + revisions + syntheses) * each));
    }

    /// <summary>Prepares a contemplation.</summary>
    /// <param name="variant">The model.</param>
    /// <param name="input">The conversation.</param>
    /// <param name="sampling">How tokens are drawn, but for temperature and seed.</param>
    /// <param name="stop">Strings that end an agent's text, beside the chat format's own.</param>
    /// <param name="variety">What the agents differ in beside seed and temperature; null for nothing.</param>
    /// <param name="calibration">What agreement has meant for this model; null for what its file says, if there is one.</param>
    /// <param name="tell">Told what happens; null for nobody.</param>
    /// <param name="grammar">What every agent's response is held to; null for anything.</param>
    /// <param name="check">Puts answers to a check; null for none.</param>
    /// <param name="draftTokens">The most tokens of a draft, so that a prompt that shows drafts keeps to <see cref="Most"/>; 0 for no limit.</param>
    /// <param name="share">Whose the agents are; null for nobody's in particular.</param>
    public static ContemplationTask Create(
        ModelVariant variant, TemplateInput input, SamplingOptions sampling, IReadOnlyList<string> stop, AgentVariety? variety = null,
        Calibration? calibration = null, Func<ContemplationEvent, ValueTask>? tell = null, int draftTokens = 0,
        EngineShare? share = null, Func<Draft, CancellationToken, Task<bool>>? check = null, TokenGrammar? grammar = null)
    {
        ServedModel model = variant.Model;
        ChatPrompt prompt = model.Encode(input);
        IReadOnlyList<Viewpoint> views = variety is null ? [] : variety.Viewpoints(model, input);
        return new ContemplationTask
        {
            Prompt = prompt.Ids,
            Viewpoints = views,
            Adapters = model.Variants.ToDictionary(v => v.Name, v => v.Adapter),
            Read = events => ChatDraft.Read(model, prompt, input.Tools, events),
            Revise = drafts => Limited(drafts, merges: false),
            Synthesize = drafts => Limited(drafts, merges: true),
            Check = check,
            Sampling = sampling,
            Stop = [.. stop, .. model.ChatStops],
            Grammar = grammar,
            Adapter = variant.Adapter,
            Calibration = calibration ?? (variant.Adapter is null && views.Count == 0 ? model.Calibration : null),
            Model = variant.Name,
            Share = share ?? EngineShare.Common,
            Tell = tell,
        };

        // Text may take more tokens when it is read than when it was written.
        int[]? Limited(IReadOnlyList<Draft> drafts, bool merges) =>
            Prompt(model, input, drafts, merges) is { } ids && (draftTokens == 0 || ids.Length <= Longest(model, prompt.Ids.Length, draftTokens, drafts.Count)) ? ids : null;
    }

    private static long Longest(ServedModel model, int prompt, int draftTokens, int drafts) =>
        Math.Min(model.ContextLength, prompt + AroundPrompt + (long)drafts * (draftTokens + AroundDraft));

    /// <summary>
    /// A conversation that shows drafts, an agent's own first, and asks for a better answer. The first is the assistant's turn, so that roles
    /// alternate as every template has it; the others are told by the user.
    /// </summary>
    /// <param name="conversation">The conversation.</param>
    /// <param name="drafts">At least one.</param>
    /// <param name="merges">Whether one answer is to be made of all, and not the agent's own anew.</param>
    internal static ChatMessage[] Showing(IReadOnlyList<ChatMessage> conversation, IReadOnlyList<Draft> drafts, bool merges) =>
    [
        .. conversation,
        new ChatMessage { Role = "assistant", Content = Words(drafts[0]) },
        new ChatMessage { Role = "user", Content = merges ? $"{List(drafts)}\n\n{Merge}" : drafts.Count == 1 ? CheckOwn : $"{List(drafts)}\n\n{Compare}" },
    ];

    private static int[]? Prompt(ServedModel model, TemplateInput input, IReadOnlyList<Draft> drafts, bool merges)
    {
        try
        {
            return model.Encode(input.With(Showing(input.Messages, drafts, merges))).Ids;
        }
        catch (FlintException fault) when (fault.Side == FaultSide.Caller)
        {
            return null; // a template that does not take this turn of the conversation
        }
    }

    private static string List(IReadOnlyList<Draft> drafts)
    {
        var text = new StringBuilder(Others);
        for (int i = 1; i < drafts.Count; i++)
            text.Append($"\n\n({i}) {Words(drafts[i])}");
        return text.ToString();
    }

    private static string Words(Draft draft) => draft.Call ?? draft.Content;
}
