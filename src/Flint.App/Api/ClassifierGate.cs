using System.Text;
using Flint.App.Policy;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>
/// Holds an answer back until models have judged it, in windows that overlap: no character is told before it was judged together with
/// as many behind it as windows overlap, or with all that there are. Where the answer goes over from thoughts to content, or to a call,
/// what came before is judged as it is. Windows do not depend on the pieces in which the answer comes.
/// </summary>
/// <param name="rules">The rules over output.</param>
/// <param name="judge">Asks a rule.</param>
internal sealed class ClassifierGate(IReadOnlyList<ClassifierRule> rules, ClassifierGate.Judge judge)
{
    /// <summary>Asks a rule whether it denies a window.</summary>
    /// <param name="rule">The rule.</param>
    /// <param name="window">The window.</param>
    /// <param name="where">In what it stands.</param>
    /// <param name="position">Where in it, in UTF-16 units.</param>
    /// <param name="cancellation">The caller has left.</param>
    public delegate Task<bool> Judge(ClassifierRule rule, string window, string where, int position, CancellationToken cancellation);

    // What was written without a break of one part.
    private sealed record Stretch(ResponseDeltaKind Kind, int Call)
    {
        public Queue<ResponseDelta> Deltas { get; } = new();
    }

    // The text of one part, as far back as it is judged again.
    private sealed class Part(string where, string name, int rules)
    {
        public string Where => where;
        public string Name => name; // of a call's function
        public StringBuilder Text { get; } = new();
        public int Start { get; set; } // the position of the first character of the text
        public int Released { get; set; }
        public bool IsJudged { get; set; }
        public int[] Next { get; } = new int[rules]; // where each rule's next window begins
        public int[] Judged { get; } = new int[rules]; // until where each rule has judged
        public int End => Start + Text.Length;
    }

    private readonly Queue<Stretch> _stretches = new();
    private readonly List<ResponseDelta> _pending = []; // of the first stretch: what is not told yet
    private readonly Part _content = new("content", "", rules.Count);
    private readonly Part _reasoning = new("reasoning", "", rules.Count);
    private Part? _call;
    private Stretch? _last;
    private bool _isWhole;

    /// <summary>Whether a rule has denied the answer: what is held is never told.</summary>
    public bool IsDenied { get; private set; }

    /// <summary>Whether anything is held.</summary>
    public bool Holds => _stretches.Count > 0;

    /// <summary>Takes what the model wrote.</summary>
    public void Take(in ResponseDelta delta)
    {
        bool isCall = delta.Kind is not (ResponseDeltaKind.Content or ResponseDeltaKind.Reasoning);
        ResponseDeltaKind kind = isCall ? ResponseDeltaKind.ToolCallArguments : delta.Kind;
        if (_last is null || _last.Kind != kind || _last.Call != delta.ToolIndex || delta.Kind == ResponseDeltaKind.ToolCallStart)
        {
            _last = new Stretch(kind, delta.ToolIndex);
            _stretches.Enqueue(_last);
        }

        _last.Deltas.Enqueue(delta);
    }

    /// <summary>Takes note that the answer is over.</summary>
    public void Finish() => _isWhole = true;

    /// <summary>Has judged what can be judged now.</summary>
    /// <param name="into">Receives what is held no longer.</param>
    /// <param name="cancellation">The caller has left.</param>
    /// <exception cref="FlintException">Machine: it could not be judged, and a rule lets nothing pass then.</exception>
    public async Task JudgeAsync(List<ResponseDelta> into, CancellationToken cancellation)
    {
        while (!IsDenied && _stretches.TryPeek(out Stretch? stretch))
        {
            bool isOver = _isWhole || _stretches.Count > 1;
            Part? part = stretch.Kind switch { ResponseDeltaKind.Content => _content, ResponseDeltaKind.Reasoning => _reasoning, _ => _call };
            while (stretch.Deltas.TryDequeue(out ResponseDelta delta))
            {
                if (delta.Kind == ResponseDeltaKind.ToolCallStart)
                    part = _call = new Part($"tool_calls[{delta.ToolIndex}].arguments", delta.ToolName ?? "", rules.Count);
                isOver |= delta.Kind == ResponseDeltaKind.ToolCallEnd;
                part ??= _call = new Part("tool_calls.arguments", "", rules.Count);
                part.Text.Append(delta.Text);
                _pending.Add(delta);
            }

            IsDenied = await JudgeAsync(part!, isOver, into, cancellation);
            if (IsDenied)
                break;
            Release(part!, isOver, into);
            if (!isOver)
                return;
            _stretches.Dequeue();
            if (_stretches.Count == 0)
                _last = null;
        }

        if (IsDenied)
        {
            _stretches.Clear();
            _pending.Clear();
        }
    }

    // Windows are judged in the order in which they are complete, and what each lets go is told before the next: so it does not matter
    // how many are there at once.
    private async Task<bool> JudgeAsync(Part part, bool isOver, List<ResponseDelta> into, CancellationToken cancellation)
    {
        while (NextWindow(part) is int next)
        {
            ClassifierRule rule = rules[next];
            int end = part.Next[next] + rule.Window;
            if (await DeniesAsync(part, rule, part.Next[next], end, cancellation))
                return true;
            part.Judged[next] = end;
            part.Next[next] = end - rule.Overlap;
            Release(part, isOver: false, into);
        }

        for (int i = 0; isOver && i < rules.Count; i++)
        {
            if (part.End <= part.Judged[i] && (part.IsJudged || part.Name.Length == 0))
                continue;
            if (await DeniesAsync(part, rules[i], part.Next[i], part.End, cancellation))
                return true;
            part.Judged[i] = part.End;
            part.Next[i] = Math.Max(part.Next[i], part.End - rules[i].Overlap);
        }

        part.IsJudged |= isOver;
        return false;
    }

    // The rule whose next window is complete first; null where none is.
    private int? NextWindow(Part part)
    {
        int? first = null;
        for (int i = 0; i < rules.Count; i++)
        {
            int end = part.Next[i] + rules[i].Window;
            if (end <= part.End && (first is not int known || end < part.Next[known] + rules[known].Window))
                first = i;
        }

        return first;
    }

    private Task<bool> DeniesAsync(Part part, ClassifierRule rule, int from, int to, CancellationToken cancellation)
    {
        string window = part.Text.ToString(from - part.Start, to - from);
        return judge(rule, part.Name.Length == 0 ? window : $"{part.Name} {window}", part.Where, from, cancellation);
    }

    // Tells what comes before the earliest window that is still to be judged; what has no length is told with what stands behind it.
    private void Release(Part part, bool isOver, List<ResponseDelta> into)
    {
        int upTo = isOver ? part.End : Math.Max(part.Released, part.Next.Min());
        if (!isOver && upTo > part.Released && char.IsHighSurrogate(part.Text[upTo - 1 - part.Start]))
            upTo--;
        int done = 0;
        for (; done < _pending.Count; done++)
        {
            ResponseDelta delta = _pending[done];
            int left = upTo - part.Released, length = delta.Text?.Length ?? 0;
            if (!isOver && left <= 0)
                break;
            if (length <= left)
            {
                into.Add(delta);
                part.Released += length;
                continue;
            }

            into.Add(delta with { Text = delta.Text![..left] });
            _pending[done] = delta with { Text = delta.Text[left..] };
            part.Released += left;
            break;
        }

        _pending.RemoveRange(0, done);
        int gone = Math.Min(part.Next.Min(), part.Released - 1) - part.Start;
        if (gone <= 0)
            return;
        part.Text.Remove(0, gone);
        part.Start += gone;
    }
}
