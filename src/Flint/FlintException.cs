namespace Flint;

/// <summary>Whose side a fault is on. The set is closed: every error that leaves Flint carries one of these.</summary>
public enum FaultSide
{
    /// <summary>The request was wrong; sending it again unchanged fails again.</summary>
    Caller,

    /// <summary>A written limit was met (queue, budget, context); the same request may succeed later or smaller.</summary>
    Limit,

    /// <summary>The model file is damaged, unknown or inconsistent.</summary>
    ModelFile,

    /// <summary>The machine refused (memory, disk, network).</summary>
    Machine,

    /// <summary>A fault of Flint itself.</summary>
    Bug,
}

/// <summary>The one exception type Flint throws on purpose: a sentence for a person, the side at fault, and a stable code.</summary>
public sealed class FlintException : Exception
{
    /// <summary>Creates a fault.</summary>
    /// <param name="side">Whose side the fault is on.</param>
    /// <param name="code">A stable, lower-case identifier such as <c>context_length_exceeded</c>.</param>
    /// <param name="message">One sentence: what was expected, what was found, and where.</param>
    /// <param name="inner">The cause, where another exception was the cause.</param>
    public FlintException(FaultSide side, string code, string message, Exception? inner = null)
        : base(message, inner)
    {
        Side = side;
        Code = code;
    }

    /// <summary>Whose side the fault is on.</summary>
    public FaultSide Side { get; }

    /// <summary>A stable, lower-case identifier of the fault.</summary>
    public string Code { get; }

    /// <summary>For a fault of a limit that time lifts: how long to wait before trying again.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>A fault of the model file.</summary>
    public static FlintException File(string code, string message) => new(FaultSide.ModelFile, code, message);

    /// <summary>A fault of the caller.</summary>
    public static FlintException Caller(string code, string message) => new(FaultSide.Caller, code, message);
}
