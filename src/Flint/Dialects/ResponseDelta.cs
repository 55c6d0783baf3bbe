namespace Flint.Dialects;

/// <summary>What a piece of a response is.</summary>
public enum ResponseDeltaKind
{
    /// <summary>Text of the model's thoughts.</summary>
    Reasoning,

    /// <summary>Text of the answer.</summary>
    Content,

    /// <summary>A call begins: its index, id and name.</summary>
    ToolCallStart,

    /// <summary>JSON text of a call's arguments; the pieces of one call join to one object.</summary>
    ToolCallArguments,

    /// <summary>A call is over.</summary>
    ToolCallEnd,
}

/// <summary>A piece of a response as it streams.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Text">The text to append; empty for the start and the end of a call.</param>
/// <param name="ToolIndex">Which call, counted from 0 within the response; -1 for text.</param>
/// <param name="ToolName">At the start of a call, the function.</param>
/// <param name="ToolId">At the start of a call, its id.</param>
public readonly record struct ResponseDelta(ResponseDeltaKind Kind, string Text, int ToolIndex = -1, string? ToolName = null, string? ToolId = null);
