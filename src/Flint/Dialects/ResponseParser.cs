using System.Text;

namespace Flint.Dialects;

/// <summary>How a response is to be read.</summary>
public sealed class ResponseParserOptions
{
    /// <summary>The functions that the model was offered.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>Makes the id of a call from its index; <c>call_0</c>, <c>call_1</c>, ... when absent.</summary>
    public Func<int, string>? CallId { get; init; }

    /// <summary>Whether the prompt ended inside the model's thoughts (see <see cref="Dialect.OpensReasoning"/>).</summary>
    public bool StartsInReasoning { get; init; }
}

/// <summary>
/// Reads a response back into thoughts, answer and calls while it streams. What it releases, joined per kind and call, does not
/// depend on how the text was cut into pieces; it keeps back only what may be the start of a marker. Time is linear in the text.
/// Not safe for several threads; one parser reads one response.
/// </summary>
public abstract class ResponseParser
{
    private readonly StringBuilder pending = new();
    private readonly Func<int, string> callId;
    private readonly Func<int, bool> isControl;
    private ResponseDeltaKind pendingKind = ResponseDeltaKind.Content;
    private int pendingTool = -1;
    private List<ResponseDelta> sink = [];

    private protected ResponseParser(ResponseParserOptions options, Func<int, bool> isControl)
    {
        Tools = new ToolSchemas(options.Tools);
        callId = options.CallId ?? (static index => $"call_{index}");
        this.isControl = isControl;
    }

    /// <summary>How many of the tokens pushed so far were thoughts.</summary>
    public int ReasoningTokens { get; private set; }

    /// <summary>Whether what comes next is thoughts, as far as can be told.</summary>
    public bool IsReasoning => InReasoning;

    /// <summary>How many calls have begun.</summary>
    public int ToolCalls { get; private set; }

    /// <summary>The functions offered.</summary>
    private protected ToolSchemas Tools { get; }

    /// <summary>Whether text read now is the model's thoughts.</summary>
    private protected abstract bool InReasoning { get; }

    /// <summary>Reads one token; whether it is a control token is looked up by its id.</summary>
    /// <param name="tokenId">The token, or -1 when only text is known; control tokens are then recognised by their text.</param>
    /// <param name="text">What the token prints; of a control token, its text such as <c>&lt;|eom|&gt;</c>.</param>
    /// <param name="into">Receives what can be released.</param>
    public void Push(int tokenId, string text, List<ResponseDelta> into) => Push(tokenId, text, tokenId >= 0 && isControl(tokenId), into);

    /// <summary>Reads one token.</summary>
    /// <param name="tokenId">The token, or -1 when only text is known.</param>
    /// <param name="text">What the token prints.</param>
    /// <param name="isSpecial">Whether it is a control token, rather than text that looks like one.</param>
    /// <param name="into">Receives what can be released.</param>
    public void Push(int tokenId, string text, bool isSpecial, List<ResponseDelta> into)
    {
        sink = into;
        bool reasoning = InReasoning;
        if (isSpecial)
            OnControl(text);
        else if (text.Length > 0 && tokenId < 0)
            OnUnmarkedText(text);
        else if (text.Length > 0)
            OnText(text);
        if (reasoning && !isSpecial && InReasoning)
            ReasoningTokens++;
        Release();
    }

    /// <summary>Ends the response: releases what was kept back.</summary>
    public void Finish(List<ResponseDelta> into)
    {
        sink = into;
        OnFinish();
        Release();
    }

    /// <summary>Text of ordinary tokens.</summary>
    private protected abstract void OnText(ReadOnlySpan<char> text);

    /// <summary>Text of unknown origin, in which control tokens may be written out.</summary>
    private protected virtual void OnUnmarkedText(string text) => OnText(text);

    /// <summary>A control token.</summary>
    private protected abstract void OnControl(string text);

    private protected abstract void OnFinish();

    private protected void Emit(ResponseDeltaKind kind, ReadOnlySpan<char> text)
    {
        if (text.Length == 0)
            return;
        if (kind != pendingKind)
            Release();
        pendingKind = kind;
        pendingTool = kind == ResponseDeltaKind.ToolCallArguments ? ToolCalls - 1 : -1;
        pending.Append(text);
    }

    private protected void Emit(ResponseDeltaKind kind, char c) => Emit(kind, new ReadOnlySpan<char>(in c));

    private protected void StartCall(string name)
    {
        Release();
        int index = ToolCalls++;
        sink.Add(new ResponseDelta(ResponseDeltaKind.ToolCallStart, "", index, name, callId(index)));
    }

    private protected void EndCall()
    {
        Release();
        sink.Add(new ResponseDelta(ResponseDeltaKind.ToolCallEnd, "", ToolCalls - 1));
    }

    /// <summary>A whole call at once.</summary>
    private protected void EmitCall(string name, string arguments)
    {
        StartCall(name);
        Emit(ResponseDeltaKind.ToolCallArguments, arguments);
        EndCall();
    }

    private void Release()
    {
        if (pending.Length == 0)
            return;
        sink.Add(new ResponseDelta(pendingKind, pending.ToString(), pendingTool));
        pending.Clear();
    }
}
