using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Serving;

/// <summary>Sub-agents in a model's own chat format: the function that spawns them, and what is said to and by them.</summary>
public static class ChatSubagents
{
    private const string Description =
        "Runs sub-agents side by side, one for each item, and returns their answers in order. Every agent sees only the message made of the template, "
        + "with its item in place of {item}; it knows nothing of this conversation. Use it for parts of a task that do not need one another.";

    private static readonly JsonSerializerOptions Unescaped = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The function as a model is offered it.</summary>
    public static ToolDefinition Offer() => ToolDefinition.Create(SubagentCall.Function, Description, new JsonObject
    {
        ["type"] = "object",
        ["properties"] = new JsonObject
        {
            ["message_template"] = new JsonObject { ["type"] = "string", ["description"] = "What each agent is asked, with {item} where its item goes. It must say all that the agent needs to know." },
            ["items"] = new JsonObject
            {
                ["type"] = "array",
                ["items"] = new JsonObject { ["type"] = "string" },
                ["minItems"] = 1,
                ["maxItems"] = SubagentOptions.MaxItems,
                ["description"] = "One item for each agent.",
            },
        },
        ["required"] = new JsonArray("message_template", "items"),
    });

    /// <summary>Prepares the agents of a conversation. Each is sent the conversation's leading system messages and its own message, and offered nothing but to spawn.</summary>
    /// <param name="variant">The model.</param>
    /// <param name="input">The conversation.</param>
    /// <param name="prompt">Renders a conversation as the request's mode has it.</param>
    /// <param name="sampling">How tokens are drawn, but for the seed.</param>
    /// <param name="stop">Strings that end an agent's text, beside the chat format's own.</param>
    /// <param name="tell">Told what happens.</param>
    /// <param name="share">Whose the agents are.</param>
    public static SubagentTask Create(
        ModelVariant variant, TemplateInput input, Func<TemplateInput, ChatPrompt> prompt, SamplingOptions sampling, IReadOnlyList<string> stop,
        Func<SubagentEvent, CancellationToken, ValueTask> tell, EngineShare share)
    {
        ChatMessage[] system = [.. input.Messages.TakeWhile(message => message.Role is "system" or "developer")];
        return new SubagentTask
        {
            Begin = (message, maySpawn) => new ChatSubagent(
                variant.Model, input.With([.. system, new ChatMessage { Role = "user", Content = message }]).Offering(maySpawn ? [Offer()] : []), prompt),
            Sampling = sampling,
            Stop = [.. stop, .. variant.Model.ChatStops],
            Adapter = variant.Adapter,
            Share = share,
            Tell = tell,
        };
    }

    /// <summary>A turn with calls, and their results, as messages of the conversation.</summary>
    /// <param name="turn">The turn.</param>
    /// <param name="results">The calls' results.</param>
    /// <param name="first">The number of its first call in the conversation; the same conversation always has the same ids.</param>
    internal static IEnumerable<ChatMessage> Messages(ChatDraft turn, IReadOnlyList<string> results, int first)
    {
        ToolCall[] calls = [.. turn.Calls.Select((call, i) => new ToolCall($"call_{first + i}", call.Name, AsObject(call.Arguments)))];
        yield return new ChatMessage
        {
            Role = "assistant",
            Content = turn.Content,
            ReasoningContent = turn.Reasoning.Length == 0 ? null : turn.Reasoning,
            ToolCalls = calls,
        };
        for (int i = 0; i < calls.Length; i++)
            yield return new ChatMessage { Role = "tool", ToolCallId = calls[i].Id, Name = calls[i].Name, Content = results[i] };
    }

    // Templates take arguments apart. What is no object is shown in one.
    private static string AsObject(string arguments)
    {
        try
        {
            if (JsonNode.Parse(arguments) is JsonObject map)
                return map.ToJsonString(Unescaped);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or ArgumentException)
        {
            // Told to the model as the call's error.
        }

        return new JsonObject { ["INVALID_JSON"] = arguments }.ToJsonString(Unescaped);
    }
}

/// <summary>The conversation with one sub-agent.</summary>
internal sealed class ChatSubagent : SubagentTalk
{
    private readonly ServedModel _model;
    private readonly Func<TemplateInput, ChatPrompt> _render;
    private readonly List<ResponseDelta> _deltas = []; // of the turn
    private TemplateInput _input;
    private ChatPrompt _prompt;
    private ResponseParser _parser;
    private ChatDraft? _turn;
    private int _calls;

    /// <summary>Begins a conversation.</summary>
    /// <param name="model">The model.</param>
    /// <param name="input">What it begins with, and what is offered.</param>
    /// <param name="render">Renders it.</param>
    public ChatSubagent(ServedModel model, TemplateInput input, Func<TemplateInput, ChatPrompt> render)
    {
        _model = model;
        _render = render;
        _input = input;
        _prompt = render(input);
        _parser = model.CreateParser(_prompt, input.Tools, null, _deltas);
    }

    /// <inheritdoc/>
    public override int[] Prompt => _prompt.Ids;

    /// <inheritdoc/>
    public override string Read(in TokenEvent next)
    {
        int before = _deltas.Count;
        _model.Push(_parser, next, _deltas);
        return string.Concat(_deltas.Skip(before).Where(delta => delta.Kind == ResponseDeltaKind.Reasoning).Select(delta => delta.Text));
    }

    /// <inheritdoc/>
    public override SubagentTurn End()
    {
        _parser.Finish(_deltas);
        _turn = ChatDraft.Join(_deltas, _parser.ReasoningTokens);
        return new SubagentTurn(_turn.Reasoning, _turn.Content, [.. _turn.Calls.Select(call => new FunctionCall(call.Name, call.Arguments))]);
    }

    /// <inheritdoc/>
    public override void Answer(IReadOnlyList<string> results)
    {
        _input = _input.With([.. _input.Messages, .. ChatSubagents.Messages(_turn!, results, _calls)]);
        _calls += results.Count;
        _deltas.Clear();
        _prompt = _render(_input);
        _parser = _model.CreateParser(_prompt, _input.Tools, null, _deltas);
    }
}
