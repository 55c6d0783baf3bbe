using Flint.App.Policy;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>
/// Applies the rules over output to one choice of an answer while it is written: to its content, its thoughts, and the name and
/// arguments of each of its calls. Where the answer goes over from one of them to another, nothing of the first is held back.
/// </summary>
internal sealed class OutputFilter
{
    /// <summary>The reason with which an answer ends that a rule has ended.</summary>
    public const string FinishReason = "content_filter";

    private readonly RequestMeter _meter;
    private readonly IReadOnlyList<TextRule> _rules;
    private readonly string _choice;
    private readonly TextFilter _content;
    private readonly TextFilter _reasoning;
    private TextFilter? _arguments;
    private ResponseDelta? _open; // the last of the text that goes on

    private OutputFilter(RequestMeter meter, IReadOnlyList<TextRule> rules, int index)
    {
        _meter = meter;
        _rules = rules;
        _choice = index == 0 ? "" : $"[{index}]";
        _content = Create("content");
        _reasoning = Create("reasoning");
    }

    /// <summary>Whether a rule has ended the answer.</summary>
    public bool IsDenied { get; private set; }

    /// <summary>The filter of a request's choice; null where its policy has no rules over output.</summary>
    public static OutputFilter? Of(RequestMeter meter, int index) => meter.Rules is { Output: { Count: > 0 } rules } ? new OutputFilter(meter, rules, index) : null;

    /// <summary>Takes what the model wrote.</summary>
    /// <param name="delta">What it wrote.</param>
    /// <param name="into">Receives what may be told now.</param>
    public void Take(in ResponseDelta delta, List<ResponseDelta> into)
    {
        if (_open is { } open && (open.Kind != delta.Kind || open.ToolIndex != delta.ToolIndex))
            Close(into);
        if (IsDenied)
            return;
        switch (delta.Kind)
        {
            case ResponseDeltaKind.ToolCallStart:
                TextFilter name = Create($"tool_calls[{delta.ToolIndex}].name");
                string told = name.Push(delta.ToolName ?? "") + name.Finish();
                IsDenied = name.IsDenied;
                _arguments = Create($"tool_calls[{delta.ToolIndex}].arguments", isJson: true);
                if (!IsDenied)
                    into.Add(delta with { ToolName = told });
                break;
            case ResponseDeltaKind.ToolCallEnd:
                into.Add(delta);
                break;
            default:
                _open = delta;
                Pass(delta, FilterOf(delta.Kind).Push(delta.Text), into);
                break;
        }
    }

    /// <summary>Tells what was held back: the answer is over.</summary>
    public void Finish(List<ResponseDelta> into) => Close(into);

    private void Close(List<ResponseDelta> into)
    {
        if (_open is not { } open)
            return;
        _open = null;
        Pass(open, FilterOf(open.Kind).Finish(), into);
    }

    private void Pass(in ResponseDelta delta, string text, List<ResponseDelta> into)
    {
        if (text.Length > 0)
            into.Add(delta with { Text = text });
        IsDenied |= FilterOf(delta.Kind).IsDenied;
    }

    private TextFilter FilterOf(ResponseDeltaKind kind) => kind switch
    {
        ResponseDeltaKind.Reasoning => _reasoning,
        ResponseDeltaKind.Content => _content,
        _ => _arguments ??= Create("tool_calls.arguments", isJson: true),
    };

    private TextFilter Create(string where, bool isJson = false) =>
        new(_rules, decision => _meter.Note(InputPolicy.Text(decision, where + _choice)), isJson);
}
