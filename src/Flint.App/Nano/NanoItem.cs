using System.Text;
using Flint.Dialects;

namespace Flint.App.Nano;

/// <summary>How much an answer is thought over.</summary>
public enum Strength
{
    /// <summary>The bare minimum.</summary>
    Low,

    /// <summary>Compact steps.</summary>
    Medium,

    /// <summary>Full sentences.</summary>
    High,
}

/// <summary>One conversation of nano's world, with the right answers.</summary>
public sealed class NanoItem
{
    /// <summary>The skill it belongs to.</summary>
    public required string Task { get; init; }

    /// <summary>How much its answers are thought over.</summary>
    public required Strength Strength { get; init; }

    /// <summary>
    /// What is asked, without the wording: items with equal keys ask the same. Decides whether it is held out. Exchanges that
    /// would ask the same alone have keys of their own in it, behind <see cref="NanoWorld.KeySeparator"/>.
    /// </summary>
    public required string Key { get; init; }

    /// <summary>The functions offered, in the OpenAI shape, as JSON texts.</summary>
    public required IReadOnlyList<string> Tools { get; init; }

    /// <summary>The JSON schema that answers keep to; null where they are text.</summary>
    public string? Schema { get; init; }

    /// <summary>The conversation; the assistant's turns are the reference.</summary>
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>The places in <see cref="Messages"/> of the answers that are to be learnt, and that count; others are history.</summary>
    public IEnumerable<int> Graded => Enumerable.Range(0, Messages.Count).Where(i => Messages[i].ReasoningContent is not null);

    /// <summary>Whether its key belongs to the held-out sixteenth that no training set holds.</summary>
    public bool IsHeldOut => NanoWorld.IsHeldOut(Key);
}

/// <summary>Puts an item together, turn by turn.</summary>
internal sealed class ItemBuilder(string task, NanoRandom random, Strength strength, int stage)
{
    private const int ForgetPercent = 30;

    private readonly List<ChatMessage> _messages = [];
    private readonly List<string> _tools = [];
    private readonly StringBuilder _key = new(task);

    /// <summary>An empty one for the same.</summary>
    internal ItemBuilder Anew() => new(task, Random, Strength, Stage);

    internal NanoRandom Random { get; } = random;

    internal Strength Strength { get; } = strength;

    /// <summary>The stage of training it is for.</summary>
    internal int Stage { get; } = stage;

    internal string? Schema { get; set; }

    /// <summary>The text that fits the strength.</summary>
    internal string By(string low, string medium, string high) => Strength switch
    {
        Strength.Low => low,
        Strength.Medium => medium,
        _ => high,
    };

    internal ItemBuilder Key(params ReadOnlySpan<string> parts)
    {
        foreach (string part in parts) _key.Append('|').Append(part);
        return this;
    }

    /// <summary>Begins an exchange that could as well stand alone: it has a key of its own.</summary>
    internal ItemBuilder Exchange(params ReadOnlySpan<string> parts)
    {
        if (_messages.Count > 0) _key.Append(NanoWorld.KeySeparator).Append(task);
        return Key(parts);
    }

    /// <summary>Goes on with the exchanges of another item.</summary>
    internal void Append(NanoItem other)
    {
        _key.Append(NanoWorld.KeySeparator).Append(other.Key);
        _messages.AddRange(other.Messages);
    }

    internal void Tool(string json) => _tools.Add(json);

    internal void System(string text) => _messages.Add(new ChatMessage { Role = "system", Content = text });

    internal void User(string text) => _messages.Add(new ChatMessage { Role = "user", Content = text });

    internal void Assistant(string reasoning, string content) =>
        _messages.Add(new ChatMessage { Role = "assistant", ReasoningContent = reasoning, Content = content });

    internal void Calls(string reasoning, params ToolCall[] calls) =>
        _messages.Add(new ChatMessage { Role = "assistant", ReasoningContent = reasoning, ToolCalls = calls });

    internal void Result(ToolCall call, string content) =>
        _messages.Add(new ChatMessage { Role = "tool", ToolCallId = call.Id, Name = call.Name, Content = content });

    /// <summary>
    /// Leaves out, in some items, the thoughts of all answers but the last, or of those to earlier messages of the user: clients
    /// mostly do not send them back. Answers without thoughts are history, neither learnt nor graded.
    /// </summary>
    internal void Forget()
    {
        if (!Random.Chance(ForgetPercent)) return;
        int last = Random.Chance(50) ? _messages.Count - 1 : _messages.FindLastIndex(m => m.Role == "user");
        for (int i = 0; i < last; i++)
            if (_messages[i] is { Role: "assistant" } answer)
                _messages[i] = new ChatMessage { Role = "assistant", Content = answer.Content, ToolCalls = answer.ToolCalls };
    }

    internal NanoItem Build() => new() { Task = task, Strength = Strength, Key = _key.ToString(), Tools = _tools, Schema = Schema, Messages = _messages };
}
