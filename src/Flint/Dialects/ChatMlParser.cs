using System.Text;

namespace Flint.Dialects;

/// <summary>
/// The Qwen and Hermes formats: thoughts in <c>&lt;think&gt;</c> at the start, calls in <c>&lt;tool_call&gt;</c> as JSON or as
/// <c>&lt;function=NAME&gt;&lt;parameter=KEY&gt;</c>. White space around the tags is not part of what they enclose or separate.
/// </summary>
internal sealed class ChatMlParser : ResponseParser
{
    private const string ThinkOpen = "<think>";
    private const string ThinkClose = "</think>";
    private const string CallOpen = "<tool_call>";
    private const string CallClose = "</tool_call>";
    private const string FunctionOpen = "<function=";
    private const string FunctionClose = "</function>";
    private const string ParameterOpen = "<parameter=";
    private const string ParameterClose = "</parameter>";

    private static readonly string[] StartTags = [ThinkOpen, CallOpen, FunctionOpen];
    private static readonly string[] ContentTags = [CallOpen, FunctionOpen, CallClose];
    private static readonly string[] TextStartTags = [ThinkOpen];
    private static readonly string[] ReasoningTags = [ThinkClose];

    private readonly StringBuilder tag = new();
    private readonly StringBuilder space = new();
    private readonly StringBuilder raw = new();
    private JsonScanner scanner;
    private State state;
    private bool anyText;
    private bool afterCall;
    private int bodyStart;

    public ChatMlParser(ResponseParserOptions options, Func<int, bool> isControl)
        : base(options, isControl) => state = options.StartsInReasoning ? State.Reasoning : State.Start;

    private enum State
    {
        /// <summary>Before the first character that is no white space.</summary>
        Start,

        Reasoning,
        Content,

        /// <summary>Behind the opening tag of a call.</summary>
        Call,

        /// <summary>In a call's JSON.</summary>
        Json,

        /// <summary>Behind a call's JSON.</summary>
        AfterJson,

        /// <summary>In a call written with tags, or in what is no call.</summary>
        Tagged,
    }

    private protected override bool InReasoning => state == State.Reasoning;

    private string[] Tags => state switch
    {
        State.Reasoning => ReasoningTags,
        State.Start => Tools.IsEmpty ? TextStartTags : StartTags,
        _ => Tools.IsEmpty ? [] : ContentTags,
    };

    private protected override void OnText(ReadOnlySpan<char> text)
    {
        foreach (char c in text)
            Read(c);
    }

    private protected override void OnControl(string text)
    {
        if (text is ThinkOpen or ThinkClose or CallOpen or CallClose)
            OnText(text);
    }

    private protected override void OnFinish()
    {
        if (state == State.AfterJson)
            FinishJson();
        else if (state is State.Call or State.Json or State.Tagged)
            FinishOpenCall();
        string rest = tag.ToString();
        tag.Clear();
        foreach (char c in rest)
            Plain(c);
        if (state is State.Content or State.Start && !afterCall)
            Emit(ResponseDeltaKind.Content, space.ToString());
        space.Clear();
        state = State.Content;
    }

    private void Read(char c)
    {
        switch (state)
        {
            case State.Call: ReadCallStart(c); return;
            case State.Json: ReadJson(c); return;
            case State.AfterJson: ReadAfterJson(c); return;
            case State.Tagged: ReadTagged(c); return;
        }

        if (tag.Length == 0 && c != '<')
        {
            Plain(c);
            return;
        }

        tag.Append(c);
        string read = tag.ToString();
        string[] tags = Tags;
        if (Array.IndexOf(tags, read) >= 0)
        {
            tag.Clear();
            OnTag(read);
        }
        else if (!Array.Exists(tags, t => t.StartsWith(read, StringComparison.Ordinal)))
        {
            tag.Clear();
            bool again = c == '<' && read.Length > 1;
            foreach (char plain in again ? read.AsSpan(0, read.Length - 1) : read)
                Plain(plain);
            if (again)
                tag.Append(c);
        }
    }

    /// <summary>Text of a thought or of the answer; white space waits for what follows it.</summary>
    private void Plain(char c)
    {
        if (char.IsWhiteSpace(c))
        {
            space.Append(c);
            return;
        }

        // White space right behind a tag goes; the rest belongs to the text.
        bool leading = !anyText && (state != State.Start || space.Length == 0);
        if (state == State.Start)
            state = State.Content;
        ResponseDeltaKind kind = state == State.Reasoning ? ResponseDeltaKind.Reasoning : ResponseDeltaKind.Content;
        if (!leading && !afterCall)
            Emit(kind, space.ToString());
        space.Clear();
        anyText = true;
        afterCall = false;
        Emit(kind, c);
    }

    private void OnTag(string read)
    {
        space.Clear();
        anyText = false;
        switch (read)
        {
            case ThinkOpen:
                state = State.Reasoning;
                break;
            case ThinkClose:
                state = State.Content;
                break;
            case CallClose:
                // Left over from a call that had already ended.
                afterCall = true;
                state = State.Content;
                break;
            default:
                raw.Clear().Append(read);
                bodyStart = read == FunctionOpen ? 0 : read.Length;
                state = read == FunctionOpen ? State.Tagged : State.Call;
                break;
        }
    }

    private void ReadCallStart(char c)
    {
        if (char.IsWhiteSpace(c))
        {
            raw.Append(c);
            return;
        }

        scanner = default;
        state = c == '{' ? State.Json : State.Tagged;
        Read(c);
    }

    private void ReadJson(char c)
    {
        raw.Append(c);
        if (scanner.Read(c))
            state = State.AfterJson;
    }

    /// <summary>Behind the JSON: the closing tag, or, where the model left it out, whatever comes next.</summary>
    private void ReadAfterJson(char c)
    {
        if (tag.Length == 0 && char.IsWhiteSpace(c))
            return;
        tag.Append(c);
        string read = tag.ToString();
        if (read == CallClose)
        {
            tag.Clear();
            FinishJson();
        }
        else if (!CallClose.StartsWith(read, StringComparison.Ordinal))
        {
            string rest = tag.ToString();
            tag.Clear();
            FinishJson();
            OnText(rest);
        }
    }

    private void FinishJson()
    {
        string body = raw.ToString(bodyStart, raw.Length - bodyStart);
        tag.Clear();
        if (JsonCalls.TryRead(body, out string name, out string arguments))
            AcceptCall(name, arguments);
        else
            RejectCall(CallClose);
    }

    private void ReadTagged(char c)
    {
        raw.Append(c);
        if (c != '>')
            return;
        bool direct = bodyStart == 0;
        string close = direct ? FunctionClose : CallClose;
        if (raw.Length < close.Length || raw.ToString(raw.Length - close.Length, close.Length) != close)
            return;
        string body = raw.ToString(bodyStart, raw.Length - bodyStart - (direct ? 0 : close.Length));
        if (TryReadTagged(body, out string name, out string arguments))
            AcceptCall(name, arguments);
        else
            RejectCall("");
    }

    /// <summary>The response ended inside a call: one whose closing tag alone is missing counts, anything less is text.</summary>
    private void FinishOpenCall()
    {
        string body = raw.ToString(bodyStart, raw.Length - bodyStart);
        if (state == State.Tagged && body.TrimEnd().EndsWith(FunctionClose, StringComparison.Ordinal) && TryReadTagged(body, out string name, out string arguments))
            AcceptCall(name, arguments);
        else
            RejectCall("");
    }

    private void AcceptCall(string name, string arguments)
    {
        EmitCall(Tools.Resolve(name) ?? name, arguments);
        raw.Clear();
        afterCall = true;
        state = State.Content;
    }

    private void RejectCall(string close)
    {
        string text = raw.ToString() + close;
        raw.Clear();
        state = State.Content;
        afterCall = false;
        anyText = true;
        Emit(ResponseDeltaKind.Content, text);
    }

    /// <summary>Reads <c>&lt;function=NAME&gt;</c> with <c>&lt;parameter=KEY&gt;VALUE&lt;/parameter&gt;</c>; one line break around a value is not part of it.</summary>
    private bool TryReadTagged(string body, out string name, out string arguments)
    {
        name = arguments = "";
        int start = body.IndexOf(FunctionOpen, StringComparison.Ordinal);
        int end = start < 0 ? -1 : body.IndexOf('>', start);
        if (end < 0 || !string.IsNullOrWhiteSpace(body[..start]))
            return false;
        name = body[(start + FunctionOpen.Length)..end].Trim().Trim('"', '\'');
        if (name.Length == 0)
            return false;
        string function = Tools.Resolve(name) ?? name;
        var json = new StringBuilder("{");
        int position = end + 1;
        while (body.IndexOf(ParameterOpen, position, StringComparison.Ordinal) is >= 0 and int open)
        {
            int nameEnd = body.IndexOf('>', open);
            if (nameEnd < 0)
                return false;
            int close = body.IndexOf(ParameterClose, nameEnd, StringComparison.Ordinal);
            int next = close >= 0 ? close : body.IndexOf(FunctionClose, nameEnd, StringComparison.Ordinal);
            if (next < 0)
                next = body.Length;
            string key = body[(open + ParameterOpen.Length)..nameEnd].Trim();
            string value = body[(nameEnd + 1)..next];
            if (value.StartsWith('\n'))
                value = value[1..];
            if (value.EndsWith('\n'))
                value = value[..^1];
            json.Append(json.Length > 1 ? ", " : "").Append(ToolSchemas.Quote(key)).Append(": ").Append(Tools.Encode(function, key, value));
            position = close >= 0 ? close + ParameterClose.Length : next;
        }

        arguments = json.Append('}').ToString();
        return true;
    }
}
