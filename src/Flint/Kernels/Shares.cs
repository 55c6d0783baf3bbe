using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>
/// Pieces of a job, dealt out to the parts of a team: each takes its own run of them in order, one forward stream of weights, and then
/// what the others have not begun. A part that the machine slows down so holds the others up by a piece, not by what is left of its run.
/// </summary>
internal unsafe ref struct Shares
{
    private const int PiecesPerPart = 4;
    private const int PieceGroups = 4;

    private readonly int* _taken;
    private readonly int _pieces;
    private readonly int _part;
    private readonly int _parts;
    private int _from; // whose run is at hand, counted from this part's own

    /// <summary>Starts to take pieces.</summary>
    /// <param name="taken">What of each run is taken, <see cref="Team.Taken"/>.</param>
    /// <param name="pieces">Pieces in all.</param>
    /// <param name="part">Who takes them.</param>
    /// <param name="parts">Who all take them.</param>
    public Shares(int* taken, int pieces, int part, int parts)
    {
        _taken = taken;
        _pieces = pieces;
        _part = part;
        _parts = parts;
    }

    /// <summary>Into how many pieces so many groups are cut.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int PiecesOf(int groups, int parts) => Math.Clamp(groups / PieceGroups, Math.Min(groups, parts), PiecesPerPart * parts);

    /// <summary>The groups [from, to) of a piece.</summary>
    public static void Piece(int groups, int piece, int pieces, out int from, out int to) =>
        Team.Split(groups, groups / PieceGroups >= pieces ? PieceGroups : 1, piece, pieces, out from, out to);

    /// <summary>Takes the next piece; false when all are taken.</summary>
    public bool Take(out int piece)
    {
        for (; _from < _parts; _from++)
        {
            int owner = _part + _from < _parts ? _part + _from : _part + _from - _parts;
            Team.Split(_pieces, 1, owner, _parts, out int first, out int end);
            piece = first + Interlocked.Increment(ref _taken[owner * Team.TakenStride]) - 1;
            if (piece < end) return true;
        }

        piece = -1;
        return false;
    }
}
