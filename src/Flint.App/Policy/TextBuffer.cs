namespace Flint.App.Policy;

/// <summary>The end of a text, as far back as filters still look. Positions are those of the whole text, in UTF-16 units.</summary>
internal sealed class TextBuffer
{
    private char[] _chars = new char[256];
    private int _first;
    private int _count;

    /// <summary>The position of the first character that is still there.</summary>
    public int Start { get; private set; }

    /// <summary>The position behind the last.</summary>
    public int End => Start + _count;

    /// <summary>The character at a position.</summary>
    public char this[int position] => _chars[_first + position - Start];

    /// <summary>Adds text.</summary>
    public void Append(ReadOnlySpan<char> text)
    {
        if (_first + _count + text.Length > _chars.Length)
        {
            char[] target = _count + text.Length > _chars.Length / 2 ? new char[2 * (_count + text.Length)] : _chars;
            Array.Copy(_chars, _first, target, 0, _count);
            (_chars, _first) = (target, 0);
        }

        text.CopyTo(_chars.AsSpan(_first + _count));
        _count += text.Length;
    }

    /// <summary>Forgets what stands before a position.</summary>
    public void Drop(int before)
    {
        int gone = Math.Clamp(before - Start, 0, _count);
        Start += gone;
        _first += gone;
        _count -= gone;
    }

    /// <summary>The characters from a position to another.</summary>
    public ReadOnlySpan<char> Slice(int from, int to) => _chars.AsSpan(_first + from - Start, to - from);
}
