using Flint.App.Nano;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Eval;

/// <summary>A turn that a model wrote.</summary>
/// <param name="Content">What it says to the user.</param>
/// <param name="Reasoning">Its thoughts.</param>
/// <param name="Calls">The calls it makes.</param>
/// <param name="ReasoningTokens">The tokens of its thoughts.</param>
public sealed record ModelTurn(string Content, string Reasoning, IReadOnlyList<ToolCall> Calls, int ReasoningTokens)
{
    /// <summary>The tokens that were generated for it, by all agents.</summary>
    public long OutputTokens { get; init; }

    /// <summary>The agents that worked on it.</summary>
    public int Agents { get; init; } = 1;

    /// <summary>What several agents did for it; null where there was one.</summary>
    public ContemplationTrace? Trace { get; init; }

    internal static ModelTurn Of(ChatDraft draft) => new(draft.Content, draft.Reasoning, draft.Calls, draft.ReasoningTokens);
}

/// <summary>Has a model answer items: one answer, the likeliest token at every step.</summary>
internal sealed class Responder(ServedModel model)
{
    // No answer of nano's world is nearly as long.
    internal const int MaxAnswerTokens = 640;

    /// <summary>Writes the turn at a place of an item, after what stands before it.</summary>
    internal async Task<ModelTurn> AnswerAsync(NanoItem item, int place, CancellationToken cancel)
    {
        TemplateInput input = Input(item, place, prompt: true);
        ChatPrompt prompt = model.Encode(input);
        if (prompt.Ids.Length >= model.ContextLength)
            throw FlintException.Caller("context_too_short", $"an item of {item.Task} takes {prompt.Ids.Length} tokens; the model's context holds {model.ContextLength}");
        Sequence sequence = model.Engine.Submit(new GenerationRequest
        {
            Prompt = prompt.Ids,
            MaxTokens = MaxAnswerTokens,
            Stop = model.ChatStops,
            Sampling = new SamplingOptions { Temperature = 0 },
        });
        var events = new List<TokenEvent>();
        await foreach (TokenEvent news in sequence.Events(cancel))
            events.Add(news);
        if (sequence.Fault is { } fault) throw fault;
        return ModelTurn.Of(ChatDraft.Read(model, prompt, input.Tools, events)) with { OutputTokens = sequence.OutputTokens };
    }

    /// <summary>The tokens of an item with all its answers.</summary>
    internal int Count(NanoItem item) => model.Encode(Input(item, item.Messages.Count, prompt: false)).Ids.Length;

    internal TemplateInput Input(NanoItem item, int messages, bool prompt) => Input(item, messages, prompt, item.Strength);

    /// <summary>The same, thought over as much as told; null for as much as the model does unasked.</summary>
    internal TemplateInput Input(NanoItem item, int messages, bool prompt, Strength? strength) => new()
    {
        Messages = [.. item.Messages.Take(messages)],
        Tools = [.. item.Tools.Select(json => ToolDefinition.From(System.Text.Json.Nodes.JsonNode.Parse(json)))],
        AddGenerationPrompt = prompt,
        BosToken = model.BosText,
        EosToken = model.EosText,
        Extra = strength is { } known ? model.Dialect.EffortVariables(NanoWorld.StrengthNames[(int)known]) : new Dictionary<string, object?>(),
        Now = DateTimeOffset.UnixEpoch, // items are the same on every day
    };
}
