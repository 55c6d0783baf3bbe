using System.Text;
using System.Threading.Tasks.Sources;

namespace Flint.Engine;

/// <summary>
/// The events of one sequence between the engine's thread, which writes, and one consumer, which reads and waits. The engine
/// writes numbers into arrays made beforehand; the text is made of them on the consumer's side.
/// </summary>
/// <remarks>
/// An event is written first and published later, once its text is known not to begin a stop string. Counters only rise; an
/// event lies at its number modulo the capacity. What the two sides share is <c>_published</c>, <c>_read</c>, the finish and the
/// waiter, the last under the lock.
/// </remarks>
internal sealed class EventRing : IValueTaskSource<bool>
{
    private readonly TokenTable _table;
    private readonly int _capacity; // a power of two
    private readonly int _tops;

    private readonly int[] _tokens;
    private readonly float[] _logprobs;
    private readonly int[] _textStarts; // where an event's own text begins in the text of the sequence, in bytes; -1: it has none
    private readonly int[] _textEnds; // where it ends; when published, how much text is released with it
    private readonly int[] _topTokens;
    private readonly float[] _topLogprobs;

    private readonly Lock _gate = new();
    private ManualResetValueTaskSourceCore<bool> _waiter = new() { RunContinuationsAsynchronously = true };
    private bool _waiting;

    private long _written; // the engine's
    private long _published;
    private long _read;
    private int _finish = -1; // a FinishReason
    private int _finishTextEnd;

    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder(); // from here on: the consumer's
    private byte[] _pending = new byte[64];
    private int _pendingCount;
    private int _consumedText;
    private int _previous; // the token before the next
    private bool _finishedRead;

    /// <summary>A ring of at least <paramref name="capacity"/> events with <paramref name="tops"/> alternatives each, for what follows <paramref name="previous"/>.</summary>
    public EventRing(TokenTable table, int previous, int capacity, int tops)
    {
        _table = table;
        _previous = previous;
        _capacity = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(capacity, 2));
        _tops = tops;
        _tokens = new int[_capacity];
        _logprobs = new float[_capacity];
        _textStarts = new int[_capacity];
        _textEnds = new int[_capacity];
        _topTokens = new int[_capacity * tops];
        _topLogprobs = new float[_capacity * tops];
    }

    /// <summary>Whether no event can be written until the consumer reads.</summary>
    public bool IsFull => _written - Volatile.Read(ref _read) >= _capacity;

    /// <summary>Whether at most half of the room is taken by events the consumer has not read.</summary>
    public bool IsHalfRead => Volatile.Read(ref _published) - Volatile.Read(ref _read) <= _capacity / 2;

    /// <summary>Whether the sequence has finished.</summary>
    public bool IsFinished => Volatile.Read(ref _finish) >= 0;

    /// <summary>Why the sequence finished; null until then.</summary>
    public FinishReason? Finish => Volatile.Read(ref _finish) is >= 0 and var reason ? (FinishReason)reason : null;

    // ---- the engine's side ----

    /// <summary>Where the next event's alternatives go: token ids and log-probabilities, likeliest first.</summary>
    public void NextTops(out Span<int> tokens, out Span<float> logprobs)
    {
        int at = (int)(_written & (_capacity - 1)) * _tops;
        tokens = _topTokens.AsSpan(at, _tops);
        logprobs = _topLogprobs.AsSpan(at, _tops);
    }

    /// <summary>
    /// Writes an event; nobody sees it before <see cref="Publish"/>. A token without text of its own, before which all text
    /// is to come out, has a <paramref name="textStart"/> of -1.
    /// </summary>
    public void Write(int token, float logprob, int textStart, int textEnd)
    {
        int at = (int)(_written & (_capacity - 1));
        _tokens[at] = token;
        _logprobs[at] = logprob;
        _textStarts[at] = textStart;
        _textEnds[at] = textEnd;
        _written++;
    }

    /// <summary>
    /// Publishes the events whose text begins before <paramref name="released"/>, the text's part that may be shown, or is empty
    /// at it. A full ring publishes all, without the text held back, so that it can be read.
    /// </summary>
    public void Publish(int released)
    {
        long published = _published;
        bool full = IsFull;
        while (published < _written)
        {
            int at = (int)(published & (_capacity - 1));
            if (_textStarts[at] >= released && _textEnds[at] > released && !full)
                break;
            _textEnds[at] = Math.Min(_textEnds[at], released);
            published++;
        }
        if (published != _published)
        {
            Volatile.Write(ref _published, published);
            Signal();
        }
    }

    /// <summary>Ends the sequence: what is not published is dropped, and text up to <paramref name="released"/> is given out.</summary>
    public void Complete(FinishReason reason, int released)
    {
        _finishTextEnd = released;
        Volatile.Write(ref _finish, (int)reason);
        Signal();
    }

    private void Signal()
    {
        lock (_gate)
        {
            if (!_waiting)
                return;
            _waiting = false;
        }
        _waiter.SetResult(true);
    }

    // ---- the consumer's side ----

    /// <summary>Completes with true once an event can be read, with false where none will come any more.</summary>
    public ValueTask<bool> WaitAsync(CancellationToken cancellation)
    {
        if (_finishedRead)
            return new ValueTask<bool>(false);
        if (CanRead)
            return new ValueTask<bool>(true);
        if (cancellation.CanBeCanceled)
            return WaitCancellableAsync(cancellation);
        return WaitPlain();
    }

    /// <summary>Takes the next event, if there is one now.</summary>
    public bool TryRead(out TokenEvent next)
    {
        next = default;
        if (_finishedRead)
            return false;
        // The finish is looked at first: what was published before it is then seen.
        bool finished = IsFinished;
        if (_read < Volatile.Read(ref _published))
        {
            ReadToken(out next);
            return true;
        }
        if (!finished)
            return false;
        string rest = Take(_finishTextEnd, flush: true);
        if (rest.Length > 0)
        {
            next = new TokenEvent { Kind = TokenEventKind.Text, Token = -1, Text = rest, Logprob = float.NaN };
            return true;
        }
        _finishedRead = true;
        next = new TokenEvent
        {
            Kind = TokenEventKind.Finished, Token = -1, Text = "", Logprob = float.NaN, FinishReason = Finish,
        };
        return true;
    }

    /// <inheritdoc/>
    bool IValueTaskSource<bool>.GetResult(short token) => _waiter.GetResult(token);

    /// <inheritdoc/>
    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _waiter.GetStatus(token);

    /// <inheritdoc/>
    void IValueTaskSource<bool>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _waiter.OnCompleted(continuation, state, token, flags);

    private bool CanRead => _read < Volatile.Read(ref _published) || IsFinished;

    private ValueTask<bool> WaitPlain()
    {
        lock (_gate)
        {
            if (CanRead)
                return new ValueTask<bool>(true);
            if (_waiting)
                throw new FlintException(FaultSide.Bug, "two_consumers", "A sequence's events are read by one consumer at a time.");
            _waiter.Reset();
            _waiting = true;
            return new ValueTask<bool>(this, _waiter.Version);
        }
    }

    private async ValueTask<bool> WaitCancellableAsync(CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        ValueTask<bool> wait = WaitPlain();
        using CancellationTokenRegistration registration = cancellation.UnsafeRegister(
            static (ring, token) => ((EventRing)ring!).Abandon(token), this);
        return await wait.ConfigureAwait(false);
    }

    private void Abandon(CancellationToken token)
    {
        lock (_gate)
        {
            if (!_waiting)
                return;
            _waiting = false;
        }
        _waiter.SetException(new OperationCanceledException(token));
    }

    private void ReadToken(out TokenEvent next)
    {
        int at = (int)(_read & (_capacity - 1));
        int token = _tokens[at];
        bool silent = _textStarts[at] < 0;
        if (silent)
        {
            string before = Take(_textEnds[at], flush: true);
            if (before.Length > 0)
            {
                next = new TokenEvent { Kind = TokenEventKind.Text, Token = -1, Text = before, Logprob = float.NaN };
                return;
            }
        }
        else
        {
            Append(_table.Bytes(token, _previous));
        }

        TopLogprob[]? top = null;
        if (_tops > 0)
        {
            top = new TopLogprob[_tops];
            for (int i = 0; i < _tops; i++)
                top[i] = new TopLogprob(_topTokens[at * _tops + i], _topLogprobs[at * _tops + i]);
        }
        next = new TokenEvent
        {
            Kind = TokenEventKind.Token,
            Token = token,
            Text = silent ? "" : Take(_textEnds[at], flush: false),
            Logprob = _logprobs[at],
            Top = top,
        };
        _previous = token;
        Volatile.Write(ref _read, _read + 1);
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        if (_pendingCount + bytes.Length > _pending.Length)
            Array.Resize(ref _pending, Math.Max(_pending.Length * 2, _pendingCount + bytes.Length));
        bytes.CopyTo(_pending.AsSpan(_pendingCount));
        _pendingCount += bytes.Length;
    }

    /// <summary>The text up to a position; where it ends is a border, what is left of a character becomes U+FFFD.</summary>
    private string Take(int textEnd, bool flush)
    {
        int count = Math.Min(textEnd - _consumedText, _pendingCount);
        if (count <= 0 && !flush)
            return "";
        ReadOnlySpan<byte> bytes = _pending.AsSpan(0, Math.Max(count, 0));
        int chars = _decoder.GetCharCount(bytes, flush);
        string text = "";
        if (chars > 0)
        {
            char[] buffer = new char[chars];
            _decoder.GetChars(bytes, buffer, flush);
            text = new string(buffer);
        }
        else if (bytes.Length > 0)
        {
            _decoder.GetChars(bytes, Span<char>.Empty, flush);
        }
        _pending.AsSpan(bytes.Length, _pendingCount - bytes.Length).CopyTo(_pending);
        _pendingCount -= bytes.Length;
        _consumedText += bytes.Length;
        return text;
    }
}
