using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Serving;

/// <summary>A whole answer of a model, read through its dialect.</summary>
/// <param name="Reasoning">Its thoughts.</param>
/// <param name="Content">What it says.</param>
/// <param name="Calls">The calls it makes.</param>
/// <param name="ReasoningTokens">The tokens of its thoughts.</param>
/// <param name="Call">The calls in a form in which equal ones are equal; null where there are none.</param>
public sealed record ChatDraft(string Reasoning, string Content, IReadOnlyList<ToolCall> Calls, int ReasoningTokens, string? Call) : Draft(Reasoning, Content, Call)
{
    /// <summary>Reads a sequence's events, all of them.</summary>
    /// <param name="model">The model that wrote it.</param>
    /// <param name="prompt">What it goes on from.</param>
    /// <param name="tools">The functions that it was offered.</param>
    /// <param name="events">What it wrote.</param>
    public static ChatDraft Read(ServedModel model, in ChatPrompt prompt, IReadOnlyList<ToolDefinition> tools, IReadOnlyList<TokenEvent> events)
    {
        var deltas = new List<ResponseDelta>();
        ResponseParser parser = model.CreateParser(prompt, tools, null, deltas);
        foreach (TokenEvent next in events)
        {
            if (next.Kind != TokenEventKind.Finished)
                model.Push(parser, next, deltas);
        }
        parser.Finish(deltas);
        return Join(deltas, parser.ReasoningTokens);
    }

    /// <summary>The calls that a <see cref="Draft.Call"/> stands for.</summary>
    public static IReadOnlyList<ToolCall> CallsOf(string call) =>
        [.. JsonNode.Parse(call)!.AsArray().Select((one, i) => new ToolCall($"call_{i}", (string)one!["name"]!, one!["arguments"] switch
        {
            JsonValue text when text.TryGetValue(out string? raw) && raw is not null => raw,
            { } arguments => arguments.ToJsonString(),
            null => "{}",
        }))];

    /// <summary>Joins what a parser released.</summary>
    internal static ChatDraft Join(List<ResponseDelta> deltas, int reasoningTokens)
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
        return new ChatDraft(reasoning.ToString(), content.ToString(), calls, reasoningTokens, calls.Count == 0 ? null : Canonical(calls));
    }

    private static string Canonical(List<ToolCall> calls)
    {
        var text = new StringBuilder("[");
        foreach (ToolCall call in calls)
        {
            string arguments = Answer.TryCanonical(call.Arguments, out string canonical) ? canonical : JsonSerializer.Serialize(call.Arguments);
            text.Append(text.Length > 1 ? "," : "").Append("{\"name\":").Append(JsonSerializer.Serialize(call.Name)).Append(",\"arguments\":").Append(arguments).Append('}');
        }
        return text.Append(']').ToString();
    }
}
