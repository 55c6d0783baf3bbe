using System.Text;

namespace Flint.Dialects;

/// <summary>Receives the calls of a block as they are read.</summary>
internal abstract class AtemSink
{
    public abstract void Start(string name);

    public abstract void Arguments(ReadOnlySpan<char> json);

    public abstract void End();

    /// <summary>Text that belongs to no call.</summary>
    public abstract void Text(string text);
}

/// <summary>
/// Reads the body of a message to a tool, character by character: <c>&lt;atem:function_calls&gt;</c> with invocations whose
/// parameters become JSON by the function's schema. Mends what models are known to garble: a message mark inside or in place of
/// the end of a name, a swallowed parameter tag, missing closing tags.
/// </summary>
internal sealed class AtemReader(ToolSchemas tools, string recipient, AtemSink sink)
{
    private const int MaxName = 256;
    private const string BlockOpen = "<atem:function_calls>";
    private const string BlockClose = "</atem:function_calls>";
    private const string InvokeOpen = "<atem:invoke name=\"";
    private const string InvokeClose = "</atem:invoke>";
    private const string ParameterOpen = "<atem:parameter name=\"";
    private const string ParameterClose = "</atem:parameter>";
    private const string BareName = "name=\"";
    private const string MessageMark = "<|message|>";

    private static readonly string[] OutsideTags = [BlockOpen, InvokeOpen];
    private static readonly string[] BlockTags = [InvokeOpen, BlockClose];
    private static readonly string[] InvokeTags = [ParameterOpen, BareName, InvokeClose, BlockClose, InvokeOpen];
    private static readonly string[] ValueTags = [ParameterClose];

    private readonly StringBuilder outside = new();
    private readonly StringBuilder tag = new();
    private readonly StringBuilder name = new();
    private readonly StringBuilder value = new();
    private readonly StringBuilder json = new();
    private Place place = Place.Outside;
    private string function = "";
    private string parameter = "";
    private bool streaming;
    private bool markSeen;
    private bool anyBlock;
    private bool anyCall;
    private int parameters;
    private char previous = '\n';

    private enum Place
    {
        Outside,
        Block,
        InvokeName,
        Invoke,
        ParameterName,
        Value,
    }

    /// <summary>Inside a block, where everything is literal until its closing tag.</summary>
    public bool InBlock => place != Place.Outside;

    /// <summary>Whether there was text beside the blocks.</summary>
    public bool HasStrayText { get; private set; }

    /// <summary>Reads one character.</summary>
    public void Read(char c)
    {
        if (place is Place.InvokeName or Place.ParameterName)
        {
            ReadName(c);
            return;
        }

        string[] tags = place switch { Place.Outside => OutsideTags, Place.Block => BlockTags, Place.Invoke => InvokeTags, _ => ValueTags };
        bool mayStart = c == '<' || (place == Place.Invoke && c == 'n' && char.IsWhiteSpace(previous));
        previous = c;
        if (tag.Length == 0 && !mayStart)
        {
            Plain(c);
            return;
        }

        tag.Append(c);
        string read = tag.ToString();
        if (Array.IndexOf(tags, read) >= 0)
        {
            tag.Clear();
            OnTag(read);
        }
        else if (!Array.Exists(tags, t => t.StartsWith(read, StringComparison.Ordinal)))
        {
            tag.Clear();
            bool again = mayStart && read.Length > 1;
            foreach (char plain in again ? read.AsSpan(0, read.Length - 1) : read)
                Plain(plain);
            if (again)
                tag.Append(c);
        }
    }

    /// <summary>Takes <c>to=NAME</c> off the end of the text outside blocks; empty when it is not there.</summary>
    public string TakeRecipient()
    {
        string text = outside.ToString();
        int start = text.Length;
        while (start > 0 && !char.IsWhiteSpace(text[start - 1]))
            start--;
        if (InBlock || text.Length - start <= 3 || string.CompareOrdinal(text, start, "to=", 0, 3) != 0)
            return "";
        outside.Length = start;
        return text[(start + 3)..];
    }

    /// <summary>Ends the message; when it is complete, calls left open are closed.</summary>
    public void Finish(bool complete)
    {
        foreach (char c in tag.ToString())
            Plain(c);
        tag.Clear();
        if (place is Place.ParameterName)
            place = Place.Invoke;
        if (place is Place.Value)
            EndValue(complete);
        if (place is Place.Invoke)
            EndInvoke(complete);
        FinishOutside(complete);
        place = Place.Outside;
    }

    private void Plain(char c)
    {
        if (place == Place.Outside)
            outside.Append(c);
        else if (place == Place.Value && streaming)
            Stream(c);
        else if (place == Place.Value)
            value.Append(c);
    }

    private void Stream(char c)
    {
        json.Clear();
        ToolSchemas.Escape(new ReadOnlySpan<char>(in c), json);
        sink.Arguments(json.ToString());
    }

    private void OnTag(string read)
    {
        switch (read)
        {
            case BlockOpen:
                ReleaseOutside();
                anyBlock = true;
                place = Place.Block;
                break;
            case BlockClose:
                if (place == Place.Invoke)
                    EndInvoke(true);
                place = Place.Outside;
                break;
            case InvokeOpen:
                if (place == Place.Outside)
                    ReleaseOutside();
                if (place == Place.Invoke)
                    EndInvoke(true);
                place = Place.InvokeName;
                break;
            case InvokeClose:
                EndInvoke(true);
                place = Place.Block;
                break;
            case ParameterClose:
                EndValue(true);
                break;
            default:
                place = Place.ParameterName;
                break;
        }
    }

    /// <summary>Reads a quoted name up to <c>"&gt;</c>; a message mark in it is dropped, and at its end stands for the quote.</summary>
    private void ReadName(char c)
    {
        if (markSeen && c is '\n' or '<')
        {
            EndName();
            Read(c);
            return;
        }

        name.Append(c);
        int length = name.Length;
        if (c == '>' && length > 1 && name[length - 2] == '"')
        {
            name.Length -= 2;
            EndName();
        }
        else if (c == '>' && name.ToString().EndsWith(MessageMark, StringComparison.Ordinal))
        {
            name.Length -= MessageMark.Length;
            markSeen = true;
        }
        else if (c == '\n' || length > MaxName)
        {
            EndName();
        }
    }

    private void EndName()
    {
        string read = name.ToString().Trim().TrimEnd('"');
        name.Clear();
        markSeen = false;
        if (place == Place.InvokeName)
            StartInvoke(read);
        else
            StartValue(read);
    }

    private void StartInvoke(string read)
    {
        place = Place.Invoke;
        previous = '\n';
        string? resolved = tools.Resolve(read);
        string swallowed = "";
        if (resolved is null && tools.TrySplitParameter(read, out string owner, out string first))
            (resolved, swallowed) = (owner, first);
        function = resolved ?? tools.Resolve(recipient) ?? read;
        anyCall = true;
        parameters = 0;
        sink.Start(function);
        if (swallowed.Length > 0)
            StartValue(swallowed);
    }

    private void StartValue(string read)
    {
        // A swallowed tag leaves the function's name before the parameter's.
        if (!tools.HasParameter(function, read) && tools.TrySplitParameter(read, out string owner, out string rest) && owner == function)
            read = rest;
        parameter = read;
        streaming = tools.IsString(function, parameter);
        value.Clear();
        place = Place.Value;
        sink.Arguments($"{(parameters++ == 0 ? "{" : ", ")}{ToolSchemas.Quote(parameter)}: {(streaming ? "\"" : "")}");
    }

    private void EndValue(bool complete)
    {
        if (streaming)
            sink.Arguments(complete ? "\"" : "");
        else if (complete)
            sink.Arguments(tools.Encode(function, parameter, value.ToString()));
        place = Place.Invoke;
        previous = '\n';
    }

    private void EndInvoke(bool complete)
    {
        if (complete)
            sink.Arguments(parameters == 0 ? "{}" : "}");
        sink.End();
        place = Place.Block;
    }

    private void ReleaseOutside()
    {
        string text = outside.ToString();
        outside.Clear();
        if (string.IsNullOrWhiteSpace(text))
            return;
        HasStrayText = true;
        sink.Text(text);
    }

    /// <summary>A message to a declared function without a block: no arguments, or JSON ones; any other text is kept as text.</summary>
    private void FinishOutside(bool complete)
    {
        string text = outside.ToString().Trim();
        if (!anyCall && (complete || !anyBlock) && tools.Resolve(recipient) is { } called && (text.Length == 0 || (!anyBlock && JsonCalls.IsObject(text))))
        {
            outside.Clear();
            sink.Start(called);
            sink.Arguments(text.Length == 0 ? "{}" : text);
            sink.End();
        }

        ReleaseOutside();
    }
}
