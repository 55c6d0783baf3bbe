namespace Flint.Training;

/// <summary>A line that could not be used.</summary>
/// <param name="File">Its file.</param>
/// <param name="Line">Its number, from 1.</param>
/// <param name="Code">The kind of fault.</param>
/// <param name="Message">What was wrong.</param>
public readonly record struct DatasetFault(string File, long Line, string Code, string Message)
{
    /// <summary>One line for a person: <c>FILE:LINE: message</c>.</summary>
    public override string ToString() => $"{File}:{Line}: {Message}".ReplaceLineEndings(" ");
}

/// <summary>What was read from files of conversations.</summary>
public sealed class DatasetReport
{
    /// <summary>How many faults are kept in full; all are counted.</summary>
    public const int MaxFaultsKept = 20;

    private readonly List<DatasetFault> _first = [];
    private readonly SortedDictionary<string, long> _byCode = new(StringComparer.Ordinal);

    /// <summary>Lines read, blank ones left out.</summary>
    public long Lines { get; private set; }

    /// <summary>Examples made; a line may give several.</summary>
    public long Examples { get; private set; }

    /// <summary>The sum of their lengths.</summary>
    public long Tokens { get; private set; }

    /// <summary>Tokens that the assistant writes.</summary>
    public long TrainedTokens { get; private set; }

    /// <summary>The longest example.</summary>
    public int LongestExample { get; private set; }

    /// <summary>Lines that could not be used.</summary>
    public long Faults { get; private set; }

    /// <summary>The first of them.</summary>
    public IReadOnlyList<DatasetFault> FirstFaults => _first;

    /// <summary>How many there are of each kind.</summary>
    public IReadOnlyDictionary<string, long> FaultsByCode => _byCode;

    internal void AddLine() => Lines++;

    internal DatasetFault AddFault(string file, long line, FlintException fault)
    {
        Faults++;
        _byCode[fault.Code] = _byCode.GetValueOrDefault(fault.Code) + 1;
        var told = new DatasetFault(file, line, fault.Code, fault.Message);
        if (_first.Count < MaxFaultsKept) _first.Add(told);
        return told;
    }

    internal void AddExample(in Example example)
    {
        Examples++;
        Tokens += example.Ids.Length;
        LongestExample = Math.Max(LongestExample, example.Ids.Length);
        foreach (float weight in example.Weights)
            if (weight == 1) TrainedTokens++;
    }
}
