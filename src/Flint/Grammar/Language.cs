using System.Runtime.CompilerServices;

namespace Flint.Grammar;

/// <summary>What an expression is made of.</summary>
internal enum LanguageKind : byte
{
    /// <summary>No text at all.</summary>
    Nothing,

    /// <summary>The empty text.</summary>
    Empty,

    /// <summary>One byte of a set.</summary>
    Bytes,

    /// <summary>One expression, then another.</summary>
    Then,

    /// <summary>Any of several.</summary>
    Either,

    /// <summary>All of several at once.</summary>
    Both,

    /// <summary>Whatever another is not.</summary>
    Not,

    /// <summary>An expression so many times.</summary>
    Repeat,

    /// <summary>A decimal number that is a multiple of another.</summary>
    Multiple,

    /// <summary>An expression of a name of its own, so that expressions may hold themselves.</summary>
    Rule,

    /// <summary>The rest of one of an object's names, with what follows it.</summary>
    Names,
}

/// <summary>
/// A set of texts, in bytes. Equal ones of one <see cref="Automaton"/> are one object, so an expression is also a state: the texts that
/// may come next. What each byte leads to is found when first asked for, and kept.
/// </summary>
internal sealed class Language(LanguageKind kind)
{
    /// <summary>Stands for no limit in <see cref="Max"/>.</summary>
    public const int Unlimited = int.MaxValue;

    /// <summary>What it is made of.</summary>
    public LanguageKind Kind => kind;

    /// <summary>Counts expressions of an automaton.</summary>
    public int Id { get; set; }

    /// <summary>Of <see cref="LanguageKind.Bytes"/>.</summary>
    public ByteSet Set { get; init; }

    /// <summary>The first of two, or the one that is repeated or negated.</summary>
    public Language? First { get; init; }

    /// <summary>The second of two.</summary>
    public Language? Rest { get; init; }

    /// <summary>Of <see cref="LanguageKind.Either"/> and <see cref="LanguageKind.Both"/>, by id.</summary>
    public Language[] Parts { get; init; } = [];

    /// <summary>The fewest times; of names, the first; of a multiple, the digits behind the point that may still come.</summary>
    public int Min { get; init; }

    /// <summary>The most times; of names, the one behind the last; of a multiple, 1 behind the point.</summary>
    public int Max { get; init; }

    /// <summary>Of a multiple, the divisor; of names, how many bytes were read.</summary>
    public long Size { get; init; }

    /// <summary>Of a multiple, what is left of the digits read.</summary>
    public long Remainder { get; init; }

    /// <summary>A <see cref="GrammarRule"/>, or an <see cref="ObjectState"/> of names.</summary>
    public object? Tag { get; init; }

    /// <summary>Whether no rule and no name is in it, so that it may be intersected and negated.</summary>
    public bool IsLexical { get; init; }

    /// <summary>What each class of bytes leads to; null where nobody has asked.</summary>
    public Language?[]? Next { get; set; }

    /// <summary>Whether the empty text is among its texts.</summary>
    public Answer Nullable { get; set; }

    /// <summary>Whether it has any text.</summary>
    public Answer Alive { get; set; }

    /// <summary>The mask of tokens of this state; null where it was not asked for, or is no longer kept.</summary>
    public ulong[]? Mask { get; set; }

    /// <summary>What tokens do inside this expression, where that is kept.</summary>
    public InnerMask? Inner { get; set; }

    /// <summary>The groups of bytes that lead back here (<see cref="Grammar.Loops"/>); null where nobody has asked.</summary>
    public ulong? Loops { get; set; }

    /// <summary>What is known of a question.</summary>
    internal enum Answer : byte
    {
        /// <summary>Nothing yet.</summary>
        Unknown,

        /// <summary>Being found out.</summary>
        Pending,

        /// <summary>Yes.</summary>
        Yes,

        /// <summary>No.</summary>
        No,
    }

    /// <summary>Tells expressions apart by what they are made of, their parts by identity.</summary>
    internal sealed class Comparer : IEqualityComparer<Language>
    {
        /// <inheritdoc/>
        public bool Equals(Language? x, Language? y) =>
            ReferenceEquals(x, y)
            || (x is not null && y is not null && x.Kind == y.Kind && x.Set == y.Set && ReferenceEquals(x.First, y.First) && ReferenceEquals(x.Rest, y.Rest)
                && x.Min == y.Min && x.Max == y.Max && x.Size == y.Size && x.Remainder == y.Remainder && ReferenceEquals(x.Tag, y.Tag)
                && x.Parts.AsSpan().SequenceEqual(y.Parts));

        /// <inheritdoc/>
        public int GetHashCode(Language e)
        {
            var hash = new HashCode();
            hash.Add((int)e.Kind);
            if (e.Kind == LanguageKind.Bytes)
                hash.Add(e.Set);
            hash.Add(e.First is null ? 0 : RuntimeHelpers.GetHashCode(e.First));
            hash.Add(e.Rest is null ? 0 : RuntimeHelpers.GetHashCode(e.Rest));
            foreach (Language part in e.Parts)
                hash.Add(RuntimeHelpers.GetHashCode(part));
            hash.Add(e.Min);
            hash.Add(e.Max);
            hash.Add(e.Size);
            hash.Add(e.Remainder);
            hash.Add(e.Tag is null ? 0 : RuntimeHelpers.GetHashCode(e.Tag));
            return hash.ToHashCode();
        }
    }
}

/// <summary>An expression with a name of its own, told later than it is used.</summary>
internal sealed class GrammarRule(Func<Language> build)
{
    private Language? _body;

    /// <summary>The rule as an expression.</summary>
    public Language? Use { get; set; }

    /// <summary>Whether some text of it ends.</summary>
    public bool IsProductive { get; set; } = true;

    /// <summary>What it stands for; built when first asked for.</summary>
    public Language Body => _body ??= build();
}
