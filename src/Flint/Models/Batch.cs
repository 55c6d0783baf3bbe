namespace Flint.Models;

/// <summary>What one forward pass computes: rows (tokens) of many sequences, prompt chunks and single steps mixed.</summary>
/// <remarks>
/// The rows of one sequence stand together and at consecutive positions, the first at the sequence's present length. Rows
/// that want logits get them in row order: the k-th such row of the batch is logit row k. Rows that want their final hidden state
/// instead are counted by themselves, and stand behind all rows that want logits.
/// All arrays are sized at construction; filling a batch allocates nothing.
/// </remarks>
public sealed class Batch
{
    private readonly int[] _tokens;
    private readonly int[] _positions;
    private readonly int[] _rowSequences;
    private readonly int[] _outputRows; // logit rows, then hidden rows -> row
    private readonly SequenceState?[] _states;
    private readonly ModelAdapter?[] _adapters;
    private readonly int[] _firstRows;
    private readonly int[] _rowCounts;

    /// <summary>An empty batch with room for so many rows, sequences and logit rows.</summary>
    public Batch(int maxRows, int maxSequences, int maxLogitRows)
    {
        if (maxRows < 1 || maxSequences < 1 || maxLogitRows < 1)
            throw Bug($"A batch has room for at least 1 row, sequence and logit row; found {maxRows}, {maxSequences}, {maxLogitRows}.");
        _tokens = new int[maxRows];
        _positions = new int[maxRows];
        _rowSequences = new int[maxRows];
        _outputRows = new int[maxRows];
        MaxLogitRows = maxLogitRows;
        _states = new SequenceState?[maxSequences];
        _adapters = new ModelAdapter?[maxSequences];
        _firstRows = new int[maxSequences];
        _rowCounts = new int[maxSequences];
    }

    /// <summary>Room for rows.</summary>
    public int MaxRows => _tokens.Length;

    /// <summary>Room for sequences.</summary>
    public int MaxSequences => _states.Length;

    /// <summary>Room for rows that want logits.</summary>
    public int MaxLogitRows { get; }

    /// <summary>Rows added.</summary>
    public int Rows { get; private set; }

    /// <summary>Sequences added.</summary>
    public int Sequences { get; private set; }

    /// <summary>Rows added that want logits.</summary>
    public int LogitRows { get; private set; }

    /// <summary>Rows added that want their final hidden state.</summary>
    public int HiddenRows { get; private set; }

    /// <summary>Token id of each row.</summary>
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, Rows);

    /// <summary>Position of each row in its sequence.</summary>
    public ReadOnlySpan<int> Positions => _positions.AsSpan(0, Rows);

    /// <summary>Index in this batch of each row's sequence.</summary>
    public ReadOnlySpan<int> RowSequences => _rowSequences.AsSpan(0, Rows);

    /// <summary>The row of each logit row, ascending.</summary>
    public ReadOnlySpan<int> LogitRowIndices => _outputRows.AsSpan(0, LogitRows);

    /// <summary>The row of each hidden row, ascending.</summary>
    public ReadOnlySpan<int> HiddenRowIndices => _outputRows.AsSpan(LogitRows, HiddenRows);

    /// <summary>The rows that want something, ascending: logit rows, then hidden rows.</summary>
    public ReadOnlySpan<int> OutputRowIndices => _outputRows.AsSpan(0, LogitRows + HiddenRows);

    /// <summary>The state of a sequence of this batch.</summary>
    public SequenceState State(int sequence) =>
        sequence < Sequences ? _states[sequence]! : throw Bug($"The batch has {Sequences} sequences, none with index {sequence}.");

    /// <summary>The adapter of a sequence of this batch; null for none.</summary>
    public ModelAdapter? Adapter(int sequence) => _adapters[sequence];

    /// <summary>The first row of a sequence of this batch.</summary>
    public int FirstRow(int sequence) => _firstRows[sequence];

    /// <summary>How many rows a sequence of this batch has.</summary>
    public int RowCount(int sequence) => _rowCounts[sequence];

    /// <summary>Empties the batch.</summary>
    public void Clear()
    {
        Array.Clear(_states, 0, Sequences);
        Array.Clear(_adapters, 0, Sequences);
        Rows = 0;
        Sequences = 0;
        LogitRows = 0;
        HiddenRows = 0;
    }

    /// <summary>Adds a sequence, whose rows follow next, and gives its index.</summary>
    /// <param name="state">Its keys and values.</param>
    /// <param name="adapter">The adapter that its rows are computed with, one that the model has loaded; null for none.</param>
    public int AddSequence(SequenceState state, ModelAdapter? adapter = null)
    {
        if (Sequences == MaxSequences)
            throw Bug($"The batch has room for {MaxSequences} sequences and all are taken.");
        for (int i = 0; i < Sequences; i++)
        {
            if (ReferenceEquals(_states[i], state))
                throw Bug($"The sequence is in the batch already, with index {i}.");
        }
        _states[Sequences] = state;
        _adapters[Sequences] = adapter;
        _firstRows[Sequences] = Rows;
        _rowCounts[Sequences] = 0;
        return Sequences++;
    }

    /// <summary>Adds a row to the sequence added last.</summary>
    /// <param name="sequence">The index <see cref="AddSequence"/> gave.</param>
    /// <param name="token">Token id.</param>
    /// <param name="position">Its position: the state's length plus the rows this sequence has in the batch. The room is reserved.</param>
    /// <param name="wantLogits">Whether the logits after this token are needed.</param>
    /// <param name="wantHidden">Whether its final hidden state is needed. No row that wants logits may follow.</param>
    public void Add(int sequence, int token, int position, bool wantLogits, bool wantHidden = false)
    {
        if (sequence != Sequences - 1)
            throw Bug($"Rows are added to the sequence added last ({Sequences - 1}); {sequence} was given.");
        if (Rows == MaxRows)
            throw Bug($"The batch has room for {MaxRows} rows and all are taken.");
        if (wantLogits && LogitRows == MaxLogitRows)
            throw Bug($"The batch has room for {MaxLogitRows} logit rows and all are taken.");
        if (wantLogits && (wantHidden || HiddenRows > 0))
            throw Bug("Rows that want hidden states stand behind all rows that want logits, and want nothing else.");
        SequenceState state = _states[sequence]!;
        int expected = state.Length + _rowCounts[sequence];
        if (position != expected)
            throw Bug($"The next row of sequence {sequence} is at position {expected}; {position} was given.");
        int page = position / KvPool.PageTokens;
        if (page >= state.Pages.Length || state.Pool.References(state.Pages[page]) != 1)
            throw Bug($"Position {position} of sequence {sequence} lies in no page of its own; reserve it first.");

        _tokens[Rows] = token;
        _positions[Rows] = position;
        _rowSequences[Rows] = sequence;
        if (wantLogits)
            _outputRows[LogitRows++] = Rows;
        if (wantHidden)
            _outputRows[LogitRows + HiddenRows++] = Rows;
        _rowCounts[sequence]++;
        Rows++;
    }

    private static FlintException Bug(string message) => new(FaultSide.Bug, "batch", message);
}
