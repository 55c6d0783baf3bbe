using System.Text;

namespace Flint.Dialects;

/// <summary>
/// Llama 3: the answer is text, or one or more calls <c>{"name": ..., "parameters": {...}}</c> from its start on, perhaps behind
/// <c>&lt;|python_tag|&gt;</c>. JSON that is no call to an offered function is text.
/// </summary>
internal sealed class Llama3Parser(ResponseParserOptions options, Func<int, bool> isControl) : ResponseParser(options, isControl)
{
    private const int MaxKey = 32;
    private const string PythonTag = "<|python_tag|>";

    private static readonly string[] CallKeys = ["name", "type", "function", "parameters", "arguments", "id"];
    private static readonly string[] CodeTools = ["code_interpreter", "python", "ipython"];

    private readonly StringBuilder held = new();
    private readonly StringBuilder json = new();
    private JsonScanner scanner;
    private State state = State.Start;
    private bool called;

    private enum State
    {
        /// <summary>Before the first character that tells text from calls, also between calls.</summary>
        Start,

        Json,
        Code,
        Content,
    }

    private protected override bool InReasoning => false;

    private protected override void OnText(ReadOnlySpan<char> text)
    {
        foreach (char c in text)
        {
            switch (state)
            {
                case State.Content: Emit(ResponseDeltaKind.Content, c); break;
                case State.Code: held.Append(c); break;
                case State.Json: ReadJson(c); break;
                default: ReadStart(c); break;
            }
        }
    }

    private protected override void OnControl(string text)
    {
        if (text == PythonTag && !Tools.IsEmpty && state is State.Start or State.Content)
        {
            held.Clear();
            state = State.Code;
        }
        else if (text != PythonTag)
        {
            OnFinish();
        }
    }

    private protected override void OnFinish()
    {
        if (state == State.Code)
            FinishCode();
        else if (state != State.Start || !called)
            Release();
        held.Clear();
        json.Clear();
        state = State.Content;
    }

    private void ReadStart(char c)
    {
        bool separator = char.IsWhiteSpace(c) || c is ',' or ';' or '[' or ']';
        if (called && separator)
            return;
        held.Append(c);
        if (Tools.IsEmpty)
        {
            Release();
            return;
        }

        if (char.IsWhiteSpace(c))
            return;
        string read = held.ToString().TrimStart();
        if (PythonTag.StartsWith(read, StringComparison.Ordinal))
        {
            if (read.Length == PythonTag.Length)
            {
                held.Clear();
                state = State.Code;
            }
        }
        else if (c == '{')
        {
            scanner = default;
            state = State.Json;
            ReadJson(c, false);
        }
        else if (read != "[")
        {
            Release();
        }
    }

    private void ReadJson(char c, bool hold = true)
    {
        if (hold)
            held.Append(c);
        json.Append(c);
        if (json.Length <= MaxKey && !MayBeCall())
        {
            Release();
        }
        else if (scanner.Read(c))
        {
            if (JsonCalls.TryRead(json.ToString(), out string name, out string arguments) && Tools.Resolve(name) is { } function)
            {
                EmitCall(function, arguments);
                called = true;
                held.Clear();
                json.Clear();
                state = State.Start;
            }
            else
            {
                Release();
            }
        }
    }

    /// <summary>Whether the object's first key is one that a call has.</summary>
    private bool MayBeCall()
    {
        string read = json.ToString(1, json.Length - 1).TrimStart();
        if (read.Length == 0)
            return true;
        if (read[0] != '"')
            return false;
        int end = read.IndexOf('"', 1);
        string key = end < 0 ? read[1..] : read[1..end];
        return Array.Exists(CallKeys, k => end < 0 ? k.StartsWith(key, StringComparison.Ordinal) : k == key);
    }

    /// <summary>Everything kept back is text, and so is all that follows.</summary>
    private void Release()
    {
        Emit(ResponseDeltaKind.Content, held.ToString());
        held.Clear();
        json.Clear();
        state = State.Content;
    }

    private void FinishCode()
    {
        string code = held.ToString();
        held.Clear();
        if (code.TrimStart().StartsWith('{'))
        {
            // Calls as JSON behind the tag are read as without it.
            state = State.Start;
            OnText(code);
            if (state != State.Start || !called)
                Release();
        }
        else if (JsonCalls.TryReadCode(code, out string name, out string arguments) && Tools.Resolve(name) is { } function)
        {
            EmitCall(function, arguments);
        }
        else if (Array.Find(CodeTools, Tools.Contains) is { } interpreter)
        {
            EmitCall(interpreter, $"{{\"code\": {ToolSchemas.Quote(code)}}}");
        }
        else
        {
            Emit(ResponseDeltaKind.Content, code);
        }
    }
}
