using Flint.App.Policy;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>
/// Applies the rules over output to one choice of an answer while it is written: to its content, its thoughts, and the name and
/// arguments of each of its calls. Rules over JSON see it first, then those that have a model judge it, both as it came; what they let
/// pass goes through the rules over texts. Where the answer goes over from one of its parts to another, these hold nothing of the first back.
/// </summary>
internal sealed class OutputFilter
{
    /// <summary>The reason with which an answer ends that a rule has ended.</summary>
    public const string FinishReason = "content_filter";

    private readonly RequestMeter _meter;
    private readonly IReadOnlyList<TextRule> _rules;
    private readonly string _choice;
    private readonly SchemaGate? _schemas;
    private readonly ClassifierGate? _classifiers;
    private readonly List<ResponseDelta> _passed = []; // by the rules over JSON
    private readonly List<ResponseDelta> _judged = []; // by models, and not yet by the rules over texts
    private readonly TextFilter _content;
    private readonly TextFilter _reasoning;
    private TextFilter? _arguments;
    private ResponseDelta? _open; // the last of the text that goes on
    private bool _isCut; // a text rule has ended the answer
    private bool _isWhole;

    private OutputFilter(RequestMeter meter, PolicyRules rules, int index)
    {
        _meter = meter;
        _rules = rules.Output;
        _choice = index == 0 ? "" : $"[{index}]";
        SchemaRule[] schemas = [.. rules.Schemas.Where(rule => rule.OnOutput)];
        ClassifierRule[] classifiers = [.. rules.Classifiers.Where(rule => rule.OnOutput)];
        if (schemas.Length > 0)
            _schemas = new SchemaGate(schemas, (rule, where, position) => meter.Note($"denied {rule} {where}{_choice}:{position}"));
        if (classifiers.Length > 0)
            _classifiers = new ClassifierGate(classifiers, (rule, window, where, position, cancellation) => meter.Classifier.DeniesAsync(rule, window, $"{where}{_choice}:{position}", meter, cancellation));
        _content = Create("content");
        _reasoning = Create("reasoning");
    }

    /// <summary>Whether a rule has ended the answer.</summary>
    public bool IsDenied => _isCut || _schemas is { IsDenied: true } || _classifiers is { IsDenied: true };

    /// <summary>Whether something waits for a model to judge it.</summary>
    public bool Waits => _classifiers is { Holds: true };

    /// <summary>The filter of a request's choice; null where its policy has no rules over output.</summary>
    public static OutputFilter? Of(RequestMeter meter, int index) => meter.Rules is { FiltersOutput: true } rules ? new OutputFilter(meter, rules, index) : null;

    /// <summary>Takes what the model wrote.</summary>
    /// <param name="delta">What it wrote.</param>
    /// <param name="into">Receives what may be told now.</param>
    public void Take(in ResponseDelta delta, List<ResponseDelta> into)
    {
        if (IsDenied)
            return;
        if (_schemas is null)
            _passed.Add(delta);
        else
            _schemas.Take(delta, _passed);
        PassOn(into);
    }

    /// <summary>Tells what was held back, but for what a model is still to judge: the answer is over.</summary>
    public void Finish(List<ResponseDelta> into)
    {
        if (!_isWhole)
        {
            _schemas?.Finish(_passed);
            PassOn(into);
            _classifiers?.Finish();
        }

        _isWhole = true;
        if (!Waits)
            Close(into);
    }

    /// <summary>Has models judge what waits for them.</summary>
    /// <param name="into">Receives what may be told now.</param>
    /// <param name="cancellation">The caller has left.</param>
    /// <exception cref="FlintException">Machine: a text could not be judged, and its rule lets nothing pass then.</exception>
    public async Task JudgeAsync(List<ResponseDelta> into, CancellationToken cancellation)
    {
        if (_classifiers is null)
            return;
        await _classifiers.JudgeAsync(_judged, cancellation);
        foreach (ResponseDelta delta in _judged)
            Filter(delta, into);
        _judged.Clear();
        if (_isWhole)
            Close(into);
    }

    private void PassOn(List<ResponseDelta> into)
    {
        foreach (ResponseDelta delta in _passed)
        {
            if (_classifiers is null)
                Filter(delta, into);
            else
                _classifiers.Take(delta);
        }

        _passed.Clear();
    }

    private void Filter(in ResponseDelta delta, List<ResponseDelta> into)
    {
        if (_open is { } open && (open.Kind != delta.Kind || open.ToolIndex != delta.ToolIndex))
            Close(into);
        if (_isCut)
            return;
        switch (delta.Kind)
        {
            case ResponseDeltaKind.ToolCallStart:
                TextFilter name = Create($"tool_calls[{delta.ToolIndex}].name");
                string told = name.Push(delta.ToolName ?? "") + name.Finish();
                _isCut = name.IsDenied;
                _arguments = Create($"tool_calls[{delta.ToolIndex}].arguments", isJson: true);
                if (!_isCut)
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
        _isCut |= FilterOf(delta.Kind).IsDenied;
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
