using System.Text;
using Flint.App.Policy;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>
/// Holds an answer back until the rules over JSON can judge it: a call until its arguments are complete, and from the first content on
/// everything until the answer's end.
/// </summary>
/// <param name="rules">The rules over output.</param>
/// <param name="note">Told of what is denied: the rule, in what, and where in it.</param>
internal sealed class SchemaGate(IReadOnlyList<SchemaRule> rules, Action<string, string, int> note)
{
    private readonly SchemaRule[] _ofContent = [.. rules.Where(rule => rule.CoversContent(null))];
    private readonly List<ResponseDelta> _held = [];
    private readonly StringBuilder _content = new();
    private readonly StringBuilder _arguments = new();
    private SchemaRule[] _ofCall = []; // of the call that is being written
    private int _call;
    private bool _holdsContent;

    /// <summary>Whether a rule has denied the answer: what is held is never told.</summary>
    public bool IsDenied { get; private set; }

    /// <summary>Takes what the model wrote.</summary>
    /// <param name="delta">What it wrote.</param>
    /// <param name="into">Receives what is held no longer.</param>
    public void Take(in ResponseDelta delta, List<ResponseDelta> into)
    {
        switch (delta.Kind)
        {
            case ResponseDeltaKind.Content when _ofContent.Length > 0:
                _holdsContent = true;
                _content.Append(delta.Text);
                break;
            case ResponseDeltaKind.ToolCallStart:
                string name = delta.ToolName ?? "";
                _ofCall = [.. rules.Where(rule => rule.CoversCall(name, null))];
                _call = delta.ToolIndex;
                _arguments.Clear();
                break;
            case ResponseDeltaKind.ToolCallArguments:
                _arguments.Append(delta.Text);
                break;
            case ResponseDeltaKind.ToolCallEnd:
                JudgeCall();
                break;
        }

        _held.Add(delta);
        Release(into);
    }

    /// <summary>Takes note that the answer is over.</summary>
    /// <param name="into">Receives what is held no longer.</param>
    public void Finish(List<ResponseDelta> into)
    {
        JudgeCall(); // one that was cut short
        if (_holdsContent)
            Judge(_ofContent, _content, "content");
        _holdsContent = false;
        Release(into);
    }

    private void JudgeCall()
    {
        if (_ofCall.Length > 0)
            Judge(_ofCall, _arguments, $"tool_calls[{_call}].arguments");
        _ofCall = [];
    }

    // A text of nothing but blanks is none: an answer may be a call alone, and a call have no arguments.
    private void Judge(SchemaRule[] judges, StringBuilder text, string where)
    {
        string whole = text.ToString();
        if (IsDenied || (where == "content" && string.IsNullOrWhiteSpace(whole)) || SchemaRule.Denial(judges, whole) is not { } denial)
            return;
        IsDenied = true;
        note(denial.Rule, where, denial.Position);
    }

    private void Release(List<ResponseDelta> into)
    {
        if (IsDenied)
            _held.Clear();
        if (_holdsContent || _ofCall.Length > 0)
            return;
        into.AddRange(_held);
        _held.Clear();
    }
}
