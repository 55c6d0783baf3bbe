using System.Text;
using Flint.App.Nano;
using Flint.App.Serving;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Eval;

/// <summary>A turn that a model wrote.</summary>
/// <param name="Content">What it says to the user.</param>
/// <param name="Reasoning">Its thoughts.</param>
/// <param name="Calls">The calls it makes.</param>
/// <param name="ReasoningTokens">The tokens of its thoughts.</param>
public sealed record ModelTurn(string Content, string Reasoning, IReadOnlyList<ToolCall> Calls, int ReasoningTokens);

/// <summary>Has a model answer items: one answer, the likeliest token at every step.</summary>
internal sealed class Responder(ServedModel model)
{
    // No answer of nano's world is nearly as long.
    private const int MaxAnswerTokens = 640;

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
        ResponseParser parser = model.Dialect.CreateParser(new ResponseParserOptions { Tools = input.Tools, StartsInReasoning = prompt.OpensReasoning });
        var deltas = new List<ResponseDelta>();
        try
        {
            await foreach (TokenEvent news in sequence.Events(cancel))
            {
                bool special = news.Kind == TokenEventKind.Token && model.Tokenizer.IsSpecial(news.Token);
                parser.Push(Math.Max(news.Token, 0), special ? model.Tokenizer.Text(news.Token) : news.Text ?? "", special, deltas);
            }
        }
        finally
        {
            sequence.Cancel();
        }
        if (sequence.Fault is { } fault) throw fault;
        parser.Finish(deltas);
        return Read(deltas, parser.ReasoningTokens);
    }

    /// <summary>The tokens of an item with all its answers.</summary>
    internal int Count(NanoItem item) => model.Encode(Input(item, item.Messages.Count, prompt: false)).Ids.Length;

    private TemplateInput Input(NanoItem item, int messages, bool prompt) => new()
    {
        Messages = [.. item.Messages.Take(messages)],
        Tools = [.. item.Tools.Select(json => ToolDefinition.From(System.Text.Json.Nodes.JsonNode.Parse(json)))],
        AddGenerationPrompt = prompt,
        BosToken = model.BosText,
        EosToken = model.EosText,
        Extra = model.Dialect.EffortVariables(NanoWorld.StrengthNames[(int)item.Strength]),
        Now = DateTimeOffset.UnixEpoch, // items are the same on every day
    };

    private static ModelTurn Read(List<ResponseDelta> deltas, int reasoningTokens)
    {
        var content = new StringBuilder();
        var reasoning = new StringBuilder();
        var calls = new List<ToolCall>();
        var arguments = new StringBuilder();
        foreach (ResponseDelta delta in deltas)
        {
            switch (delta.Kind)
            {
                case ResponseDeltaKind.Reasoning:
                    reasoning.Append(delta.Text);
                    break;
                case ResponseDeltaKind.Content:
                    content.Append(delta.Text);
                    break;
                case ResponseDeltaKind.ToolCallStart:
                    calls.Add(new ToolCall(delta.ToolId!, delta.ToolName!, ""));
                    arguments.Clear();
                    break;
                case ResponseDeltaKind.ToolCallArguments:
                    arguments.Append(delta.Text);
                    break;
                case ResponseDeltaKind.ToolCallEnd:
                    calls[^1] = calls[^1] with { Arguments = arguments.ToString() };
                    break;
                default:
                    throw new InvalidOperationException($"a delta of kind {delta.Kind}");
            }
        }
        return new ModelTurn(content.ToString(), reasoning.ToString(), calls, reasoningTokens);
    }
}
