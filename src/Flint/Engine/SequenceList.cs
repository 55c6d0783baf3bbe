namespace Flint.Engine;

/// <summary>Sequences in order of submission, oldest first, in room made once.</summary>
internal sealed class SequenceList(int capacity)
{
    private readonly Sequence?[] _items = new Sequence?[capacity];

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>The sequence at a place.</summary>
    public Sequence this[int index] => _items[index]!;

    /// <summary>Adds a sequence at the place its age gives it.</summary>
    public void Add(Sequence sequence)
    {
        int at = Count;
        while (at > 0 && _items[at - 1]!.Id > sequence.Id)
        {
            _items[at] = _items[at - 1];
            at--;
        }
        _items[at] = sequence;
        Count++;
    }

    /// <summary>The place of a sequence that is in the list.</summary>
    public int IndexOf(Sequence sequence) => Array.IndexOf(_items, sequence, 0, Count);

    /// <summary>Takes out a sequence that is in the list.</summary>
    public void Remove(Sequence sequence)
    {
        int at = IndexOf(sequence);
        Count--;
        Array.Copy(_items, at + 1, _items, at, Count - at);
        _items[Count] = null;
    }
}
