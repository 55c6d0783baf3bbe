using Flint.Weights;

namespace Flint.Training;

/// <summary>The examples of a file in an order that the seed decides, anew for every round through them; a place in it is two numbers.</summary>
internal sealed class ExampleOrder
{
    private readonly int[] _order;
    private readonly ulong _seed;

    public ExampleOrder(int count, ulong seed, int round, int next)
    {
        _order = new int[count];
        _seed = seed;
        Round = round;
        Next = next;
        Shuffle();
    }

    /// <summary>Rounds completed.</summary>
    public int Round { get; private set; }

    /// <summary>Examples of this round already taken.</summary>
    public int Next { get; private set; }

    /// <summary>The example whose turn it is.</summary>
    public int Current => _order[Next];

    public void Advance()
    {
        if (++Next < _order.Length) return;
        Next = 0;
        Round++;
        Shuffle();
    }

    private void Shuffle()
    {
        for (int i = 0; i < _order.Length; i++) _order[i] = i;
        var random = new SplitMix(_seed, (ulong)Round);
        for (int i = _order.Length - 1; i > 0; i--)
        {
            int other = random.Below(i + 1);
            (_order[i], _order[other]) = (_order[other], _order[i]);
        }
    }
}
