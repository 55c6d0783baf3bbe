using System.Text;

namespace Flint.Dialects;

/// <summary>
/// Muse Glimmer's channels: messages <c>to=self</c> are thoughts, <c>to=user</c> the answer, <c>to=NAME</c> a call in ATEM. A
/// message ends at <c>&lt;|eom|&gt;</c>, the turn at <c>&lt;|eot|&gt;</c>; a new header without a terminator ends a message too.
/// Where the tokens' ids are known, only real control tokens count; in bare text, a block of calls is literal to its closing tag.
/// </summary>
internal sealed class MuseGlimmerParser : ResponseParser
{
    private const int MaxHeader = 256;
    private const string StartMark = "<|start|>";
    private const string MessageMark = "<|message|>";
    private const string EomMark = "<|eom|>";
    private const string EotMark = "<|eot|>";
    private const string EndMark = "<|end_of_text|>";
    private const string BlockOpen = "<atem:function_calls>";
    private const string BlockClose = "</atem:function_calls>";

    private static readonly string[] Marks = [StartMark, MessageMark, EomMark, EotMark, EndMark];

    private readonly StringBuilder unmarked = new();
    private readonly StringBuilder header = new();
    private readonly StringBuilder tail = new();
    private readonly StringBuilder held = new();
    private State state = State.Header;
    private State resume;
    private string interrupted = "";
    private bool started;
    private bool bodyEmpty;
    private bool eomPending;
    private AtemReader? call;
    private int heldLead;
    private int heldBlock;
    private bool heldClosed;

    public MuseGlimmerParser(ResponseParserOptions options, Func<int, bool> isControl)
        : base(options, isControl)
    {
    }

    private enum State
    {
        /// <summary>Reading <c>assistant to=NAME</c>, up to the message mark.</summary>
        Header,

        Self,

        User,

        /// <summary>An answer that may be a block of calls: kept back.</summary>
        UserBlock,

        Tool,

        Ended,
    }

    private protected override bool InReasoning => state == State.Self;

    /// <summary>Whether control marks in bare text stand for themselves now.</summary>
    private bool IsLiteral => (state == State.Tool && call!.InBlock) || (state == State.UserBlock && !IsHeldBlockClosed());

    private protected override void OnUnmarkedText(string text)
    {
        foreach (char c in text)
        {
            if (unmarked.Length == 0 && (c != '<' || IsLiteral))
            {
                OnChar(c);
                continue;
            }

            unmarked.Append(c);
            string read = unmarked.ToString();
            if (Array.Exists(Marks, m => m == read))
            {
                unmarked.Clear();
                OnMark(read, false);
            }
            else if (!Array.Exists(Marks, m => m.StartsWith(read, StringComparison.Ordinal)))
            {
                FlushUnmarked(c == '<');
            }
        }
    }

    /// <summary>Text that looked like a mark and is none; a last <c>&lt;</c> may begin the next.</summary>
    private void FlushUnmarked(bool keepLast)
    {
        string read = unmarked.ToString();
        unmarked.Clear();
        OnText(keepLast ? read.AsSpan(0, read.Length - 1) : read);
        if (!keepLast)
            return;
        if (IsLiteral)
            OnChar('<');
        else
            unmarked.Append('<');
    }

    private protected override void OnText(ReadOnlySpan<char> text)
    {
        foreach (char c in text)
            OnChar(c);
    }

    private protected override void OnControl(string text)
    {
        // A piece of text that a detokenizer kept back may come before the mark.
        int at = text.IndexOf("<|", StringComparison.Ordinal);
        if (at > 0)
            OnText(text.AsSpan(0, at));
        OnMark(at > 0 ? text[at..] : text, true);
    }

    private void OnMark(string mark, bool real)
    {
        if (eomPending && mark != StartMark)
            ReleaseEom();
        switch (mark)
        {
            case StartMark: OnStart(); break;
            case MessageMark: OnMessage(real); break;
            case EomMark: OnEom(); break;
            case EotMark or EndMark: EndTurn(); break;
        }
    }

    private void OnChar(char c)
    {
        if (eomPending)
            ReleaseEom();
        switch (state)
        {
            case State.Header:
                header.Append(c);
                if (header.Length > MaxHeader || !Header.IsPrefix(header))
                    FailHeader();
                break;
            case State.Self or State.User:
                OnBodyChar(c);
                break;
            case State.UserBlock:
                OnHeldChar(c);
                break;
            case State.Tool:
                call!.Read(c);
                break;
        }
    }

    private void OnStart()
    {
        switch (state)
        {
            case State.Header when interrupted.Length > 0:
                FailHeader();
                OnStart();
                return;
            case State.Header:
                started = true;
                header.Clear();
                return;
            case State.Ended:
                return;
        }

        FlushTail();
        interrupted = eomPending ? EomMark + StartMark : StartMark;
        eomPending = false;
        resume = state;
        state = State.Header;
        header.Clear();
    }

    private void OnMessage(bool real)
    {
        switch (state)
        {
            case State.Header:
                if (interrupted.Length > 0 && !Header.IsAssistant(header))
                {
                    FailHeader();
                    OnMessage(real);
                    return;
                }

                if (interrupted.Length > 0)
                {
                    state = resume;
                    EndMessage(true);
                }

                Begin(Header.Recipient(header));
                return;
            case State.Self or State.User when Header.Recipient(tail) is { Length: > 0 } next:
                // The model left the message without ending it and wrote the next recipient.
                tail.Clear();
                EndMessage(true);
                Begin(next);
                return;
            case State.Tool when call!.TakeRecipient() is { Length: > 0 } next:
                EndMessage(true);
                Begin(next);
                return;
            case State.Tool when real && !call!.InBlock:
                return;
            case State.Self or State.User when real:
                FlushTail();
                return;
            case State.Self or State.User or State.UserBlock or State.Tool:
                OnText(MessageMark);
                return;
        }
    }

    private void OnEom()
    {
        switch (state)
        {
            case State.Header when interrupted.Length > 0:
                FailHeader();
                OnEom();
                return;
            case State.Header:
                header.Clear();
                return;
            case State.Tool when call!.InBlock:
                eomPending = true;
                return;
            case State.Ended:
                return;
        }

        EndMessage(true);
        ExpectHeader();
    }

    private void EndTurn()
    {
        if (state == State.Header && interrupted.Length > 0)
            FailHeader();
        if (state == State.Header)
            FinishHeader();
        else
            EndMessage(true);
        state = State.Ended;
    }

    private protected override void OnFinish()
    {
        if (unmarked.Length > 0)
            FlushUnmarked(false);
        if (state == State.Header && interrupted.Length > 0)
        {
            state = resume;
            interrupted = "";
        }

        if (state == State.Header)
            FinishHeader();
        else if (state != State.Ended)
            EndMessage(eomPending);
        state = State.Ended;
    }

    /// <summary>An end-of-message mark inside a block that no header follows is text.</summary>
    private void ReleaseEom()
    {
        eomPending = false;
        OnText(EomMark);
    }

    private void ExpectHeader()
    {
        state = State.Header;
        started = false;
        interrupted = "";
        header.Clear();
    }

    /// <summary>The header turned out to be none: what was read is text of the message it stands in.</summary>
    private void FailHeader()
    {
        string text = header.ToString();
        header.Clear();
        if (interrupted.Length > 0)
        {
            string mark = interrupted;
            interrupted = "";
            state = resume;
            OnText(mark);
            OnText(text);
        }
        else if (started)
        {
            // Another speaker's turn: the model went on after its own.
            state = State.Ended;
        }
        else
        {
            Begin("user");
            OnText(text);
        }
    }

    /// <summary>The response ended in a header: without a recipient, what was read is the answer.</summary>
    private void FinishHeader()
    {
        string text = header.ToString();
        header.Clear();
        if (!started && !string.IsNullOrWhiteSpace(text) && !text.Contains("to=", StringComparison.Ordinal))
            Emit(ResponseDeltaKind.Content, text);
    }

    private void Begin(string name)
    {
        header.Clear();
        interrupted = "";
        started = false;
        bodyEmpty = true;
        state = name switch { "self" => State.Self, "user" or "" => State.User, _ => State.Tool };
        if (state == State.Tool)
            call = new AtemReader(Tools, name, new CallSink(this));
    }

    private void EndMessage(bool complete)
    {
        FlushTail();
        eomPending = false;
        if (state == State.Tool)
            call!.Finish(complete);
        else if (state == State.UserBlock)
            FinishHeldBlock();
    }

    private ResponseDeltaKind BodyKind => state == State.Self ? ResponseDeltaKind.Reasoning : ResponseDeltaKind.Content;

    /// <summary>Text of a thought or an answer; keeps back <c> to=NAME</c>, behind which a message mark may follow.</summary>
    private void OnBodyChar(char c)
    {
        if (state == State.User && bodyEmpty && (c == '<' || char.IsWhiteSpace(c)))
        {
            state = State.UserBlock;
            OnHeldChar(c);
            return;
        }

        tail.Append(c);
        if (Header.IsSwitchPrefix(tail, bodyEmpty))
            return;
        tail.Length--;
        FlushTail();
        bodyEmpty = false;
        tail.Append(c);
        if (!Header.IsSwitchPrefix(tail, false))
            FlushTail();
    }

    private void FlushTail()
    {
        if (tail.Length == 0)
            return;
        string text = tail.ToString();
        tail.Clear();
        bodyEmpty = false;
        Emit(BodyKind, text);
    }

    private void OnHeldChar(char c)
    {
        held.Append(c);
        if (c != '>' && heldBlock > 0)
        {
            if (heldClosed && !char.IsWhiteSpace(c))
                ReleaseHeld();
            return;
        }

        if (heldBlock == 0)
            MatchOpening(c);
        else if (!heldClosed && EndsWith(held, BlockClose))
            heldClosed = true;
        else if (heldClosed)
            ReleaseHeld();
    }

    private bool IsHeldBlockClosed() => heldBlock == 0 || heldClosed;

    private void MatchOpening(char c)
    {
        if (heldLead == held.Length - 1 && char.IsWhiteSpace(c))
        {
            heldLead++;
            return;
        }

        int read = held.Length - heldLead;
        if (BlockOpen[read - 1] != c)
            ReleaseHeld();
        else if (read == BlockOpen.Length)
            heldBlock = held.Length;
    }

    private static bool EndsWith(StringBuilder text, string end)
    {
        if (text.Length < end.Length)
            return false;
        for (int i = 0; i < end.Length; i++)
        {
            if (text[text.Length - end.Length + i] != end[i])
                return false;
        }

        return true;
    }

    /// <summary>The answer is no block of calls: what was kept back is its text.</summary>
    private void ReleaseHeld()
    {
        string text = held.ToString();
        ClearHeld();
        state = State.User;
        bodyEmpty = false;
        foreach (char c in text)
            OnBodyChar(c);
    }

    private void ClearHeld()
    {
        held.Clear();
        heldLead = heldBlock = 0;
        heldClosed = false;
    }

    /// <summary>An answer that was nothing but a complete block for declared functions is taken as the calls it spells.</summary>
    private void FinishHeldBlock()
    {
        string text = held.ToString();
        var calls = new List<(string Name, StringBuilder Arguments)>();
        bool valid = heldClosed;
        if (valid)
        {
            var reader = new AtemReader(Tools, "user", new BufferSink(calls));
            foreach (char c in text)
                reader.Read(c);
            reader.Finish(false);
            valid = calls.Count > 0 && calls.TrueForAll(c => Tools.Contains(c.Name)) && !reader.HasStrayText;
        }

        ClearHeld();
        state = State.User;
        if (!valid)
            Emit(ResponseDeltaKind.Content, text);
        else
            calls.ForEach(c => EmitCall(c.Name, c.Arguments.ToString()));
    }

    /// <summary>Where an <see cref="AtemReader"/>'s calls go: into the response.</summary>
    private sealed class CallSink(MuseGlimmerParser parser) : AtemSink
    {
        public override void Start(string name) => parser.StartCall(name);

        public override void Arguments(ReadOnlySpan<char> json) => parser.Emit(ResponseDeltaKind.ToolCallArguments, json);

        public override void End() => parser.EndCall();

        public override void Text(string text) => parser.Emit(ResponseDeltaKind.Content, text);
    }

    /// <summary>Where a held block's calls go until it is known to be one.</summary>
    private sealed class BufferSink(List<(string Name, StringBuilder Arguments)> calls) : AtemSink
    {
        public override void Start(string name) => calls.Add((name, new StringBuilder()));

        public override void Arguments(ReadOnlySpan<char> json) => calls[^1].Arguments.Append(json);

        public override void End()
        {
            // The list shows it.
        }

        public override void Text(string text)
        {
            // Noted by the reader.
        }
    }

    /// <summary>The grammar of <c>assistant to=NAME</c>.</summary>
    private static class Header
    {
        private const string Role = "assistant";
        private const string To = "to=";

        /// <summary>Whether the text can still become a header.</summary>
        public static bool IsPrefix(StringBuilder text) => Scan(text.ToString(), out _, out _);

        /// <summary>Whether a complete header names the assistant.</summary>
        public static bool IsAssistant(StringBuilder text) => Scan(text.ToString(), out bool assistant, out _) && assistant;

        public static string Recipient(StringBuilder text) => Scan(text.ToString(), out _, out string name) ? name : "";

        /// <summary>Whether the text can become white space and <c>to=NAME</c>; at the start of a body the white space may lack.</summary>
        public static bool IsSwitchPrefix(StringBuilder text, bool atStart)
        {
            int i = text.Length > 0 && char.IsWhiteSpace(text[0]) ? 1 : 0;
            if (i == 0 && !atStart)
                return false;
            for (int k = 0; i < text.Length; i++, k++)
            {
                bool fits = k < To.Length ? text[i] == To[k] : char.IsLetterOrDigit(text[i]) || text[i] is '_' or '.' or '-' or ':';
                if (!fits || text.Length > MaxHeader)
                    return false;
            }

            return true;
        }

        private static bool Scan(string text, out bool assistant, out string name)
        {
            ReadOnlySpan<char> rest = text.AsSpan().TrimStart();
            name = "";
            assistant = rest.StartsWith(Role, StringComparison.Ordinal);
            if (assistant)
            {
                rest = rest[Role.Length..];
                if (rest.Length > 0 && !char.IsWhiteSpace(rest[0]))
                    return false;
                rest = rest.TrimStart();
            }
            else if (Role.StartsWith(rest.ToString(), StringComparison.Ordinal))
            {
                return true;
            }

            if (rest.Length < To.Length)
                return To.AsSpan().StartsWith(rest);
            if (!rest.StartsWith(To, StringComparison.Ordinal))
                return false;
            rest = rest[To.Length..];
            int end = 0;
            while (end < rest.Length && !char.IsWhiteSpace(rest[end]))
                end++;
            name = rest[..end].ToString();
            return rest[end..].IsWhiteSpace();
        }
    }
}
