using System.Numerics;

namespace Flint.Grammar;

/// <summary>A member that an object's schema names.</summary>
/// <param name="Name">Its name as a JSON string, marks included.</param>
/// <param name="Value">Its value.</param>
/// <param name="IsRequired">Whether it must be there.</param>
internal sealed record ObjectMember(byte[] Name, Language Value, bool IsRequired);

/// <summary>How objects of a schema look: which names there are, in which order, and what may follow each.</summary>
internal sealed class ObjectShape
{
    private readonly Dictionary<(BigInteger Seen, int Last, int Named, int Extras), ObjectState> _states = [];
    private readonly Language _start;
    private readonly BigInteger _required;
    private readonly BigInteger _relevant; // of the members seen, those that decide about others
    private readonly bool[] _isForbidden;
    private bool _isSettled; // whether it is known which members have values

    /// <summary>A shape.</summary>
    /// <param name="json">Makes the expressions.</param>
    /// <param name="members">The members named, in order.</param>
    /// <param name="needs">For each of them, those that must be there where it is.</param>
    /// <param name="extras">Names that are not listed, and the values that go with them.</param>
    /// <param name="limits">How many members there are at least and at most, and whether the named ones come in any order.</param>
    /// <param name="isArray">Whether it is an array of different items, which stand in place of names.</param>
    public ObjectShape(
        JsonLanguage json, IReadOnlyList<ObjectMember> members, IReadOnlyList<BigInteger> needs, IReadOnlyList<(Language Name, Language Value)> extras, ObjectLimits limits,
        bool isArray = false)
    {
        _start = json.Automaton.Literal(isArray ? "["u8 : "{"u8);
        Close = json.Automaton.Literal(isArray ? "]"u8 : "}"u8);
        Colon = isArray ? json.Automaton.Empty : json.Colon;
        Json = json;
        Members = members;
        Needs = needs;
        Extras = extras;
        Limits = limits;
        Sorted = [.. Enumerable.Range(0, members.Count)];
        Array.Sort(Sorted, (x, y) => members[x].Name.AsSpan().SequenceCompareTo(members[y].Name));
        _isForbidden = new bool[members.Count];
        // What states are made of later must be told apart from the beginning.
        ByteSet bytes = default;
        for (int i = 0; i < members.Count; i++)
        {
            bytes |= ByteSet.Of(members[i].Name);
            if (members[i].IsRequired)
                _required |= BigInteger.One << i;
            if (!needs[i].IsZero)
                _relevant |= needs[i] | (BigInteger.One << i);
        }

        for (int b = 0; b < 256; b++)
        {
            if (bytes.Has((byte)b))
                json.Automaton.Bytes(ByteSet.Of((byte)b));
        }

        if (limits.IsAnyOrder)
            _relevant = (BigInteger.One << members.Count) - 1;
    }

    /// <summary>Makes the expressions.</summary>
    public JsonLanguage Json { get; }

    /// <summary>The members named, in order.</summary>
    public IReadOnlyList<ObjectMember> Members { get; }

    /// <summary>The members by name.</summary>
    public int[] Sorted { get; }

    /// <summary>For each member, those that must be there where it is.</summary>
    public IReadOnlyList<BigInteger> Needs { get; }

    /// <summary>Other members.</summary>
    public IReadOnlyList<(Language Name, Language Value)> Extras { get; }

    /// <summary>How many members, and in which order.</summary>
    public ObjectLimits Limits { get; }

    /// <summary>What ends it.</summary>
    public Language Close { get; }

    /// <summary>What stands between a name and its value.</summary>
    public Language Colon { get; }

    /// <summary>An object of this shape.</summary>
    public Language Open()
    {
        Automaton automaton = Json.Automaton;
        return automaton.Then(_start, Json.Space, automaton.Names(State(default, -1, 0, 0), 0, 0, ObjectState.Opened));
    }

    /// <summary>Whether an object can be brought to an end, as far as it is known of values that they can.</summary>
    public bool CanEnd(Func<Language, bool> isProductive)
    {
        for (int i = 0; i < Members.Count; i++)
        {
            if (Members[i].IsRequired && !isProductive(Members[i].Value))
                return false;
        }

        return true;
    }

    /// <summary>Gives the states up.</summary>
    public void Forget() => _states.Clear();

    /// <summary>Whether a member has no value that it might have.</summary>
    public bool IsForbidden(int member)
    {
        if (!_isSettled)
        {
            for (int i = 0; i < Members.Count; i++)
                _isForbidden[i] = !Json.Automaton.IsAlive(Members[i].Value);
            _isSettled = true;
        }

        return _isForbidden[member];
    }

    /// <summary>What must still come.</summary>
    public BigInteger Missing(BigInteger seen, int last)
    {
        BigInteger missing = Limits.IsAnyOrder ? _required & ~seen : _required & ~((BigInteger.One << (last + 1)) - 1);
        for (int i = 0; i < Members.Count; i++)
        {
            if (!Needs[i].IsZero && !(seen >> i).IsEven)
                missing |= Needs[i] & ~seen;
        }

        return missing;
    }

    /// <summary>The state in which some members have been read; equal ones are one.</summary>
    public ObjectState State(BigInteger seen, int last, int named, int extras)
    {
        if (!Limits.Counts)
            (named, extras) = (0, 0);
        var key = (seen & _relevant, Limits.IsAnyOrder ? -1 : last, named, extras);
        if (!_states.TryGetValue(key, out ObjectState? state))
            _states[key] = state = new ObjectState(this, key.Item1, key.Item2, named, extras);
        return state;
    }
}

/// <summary>How many members an object has, and in which order.</summary>
/// <param name="Least">The fewest.</param>
/// <param name="Most">The most.</param>
/// <param name="IsAnyOrder">Whether named members come in any order; else in the schema's, others behind them.</param>
internal readonly record struct ObjectLimits(int Least, int Most, bool IsAnyOrder)
{
    /// <summary>Whether the members have to be counted.</summary>
    public bool Counts => Least > 0 || Most != Language.Unlimited;
}

/// <summary>An object of which some members have been read.</summary>
internal sealed class ObjectState(ObjectShape shape, BigInteger seen, int last, int named, int extras)
{
    /// <summary>Behind the brace that opens: in place of the bytes of a name that were read.</summary>
    public const int Opened = -2;

    /// <summary>Behind a member.</summary>
    public const int BehindMember = -1;

    private readonly BigInteger _missing = shape.Missing(seen, last);
    private int[]? _addable; // how many of the members by name before each can come next
    private Language? _opened;
    private Language? _behindMember;

    /// <summary>The object's shape.</summary>
    public ObjectShape Shape => shape;

    private Automaton Automaton => shape.Json.Automaton;

    private bool CanClose => _missing.IsZero && named + Math.Min(1, extras) >= shape.Limits.Least;

    /// <summary>What an expression of names becomes with a byte.</summary>
    public Language Read(Language names, byte next)
    {
        if (names.Size < 0)
            return Automaton.Derive(names.Size == Opened ? BodyOpened() : BodyBehindMember(), next);
        int read = (int)names.Size, from = Find(names.Min, names.Max, read, next), to = Find(from, names.Max, read, next + 1);
        if (Addable(from, to) == 0)
            return Automaton.Nothing;
        int member = shape.Sorted[from];
        if (shape.Members[member].Name.Length > read + 1)
            return Automaton.Names(this, from, to, read + 1);
        ObjectState after = shape.State(seen | (BigInteger.One << member), member, named + 1, extras);
        return Automaton.Then(shape.Colon, shape.Members[member].Value, after.Behind());
    }

    private Language Behind() => Automaton.Names(this, 0, 0, BehindMember);

    // The first of some of the names by name, equal so far, whose next byte is not below one.
    private int Find(int from, int to, int read, int least)
    {
        while (from < to)
        {
            int middle = (from + to) / 2;
            if (shape.Members[shape.Sorted[middle]].Name[read] < least)
                from = middle + 1;
            else
                to = middle;
        }

        return from;
    }

    private int Addable(int from, int to)
    {
        if (_addable is null)
        {
            _addable = new int[shape.Members.Count + 1];
            for (int i = 0; i < shape.Members.Count; i++)
                _addable[i + 1] = _addable[i] + (CanAdd(shape.Sorted[i]) ? 1 : 0);
        }

        return _addable[to] - _addable[from];
    }

    private Language BodyOpened() => _opened ??= Automaton.Either(CanClose ? shape.Close : Automaton.Nothing, Name());

    private Language BodyBehindMember()
    {
        if (_behindMember is not null)
            return _behindMember;
        Language more = Name();
        Language close = CanClose ? Automaton.Then(shape.Json.Space, shape.Close) : Automaton.Nothing;
        return _behindMember = Automaton.Either(close, Automaton.Then(shape.Json.Comma, more));
    }

    private Language Name()
    {
        var parts = new List<Language>();
        if (Addable(0, shape.Members.Count) > 0)
            parts.Add(Automaton.Names(this, 0, shape.Members.Count, 0));
        if (CanAddExtra())
        {
            int counted = shape.Limits.Most == Language.Unlimited ? 1 : extras + 1;
            ObjectState after = shape.State(seen, shape.Members.Count, named, counted);
            foreach ((Language name, Language value) in shape.Extras)
            {
                if (Automaton.IsAlive(name) && Automaton.IsAlive(value))
                    parts.Add(Automaton.Then(shape.Json.Quoted(name), shape.Json.Colon, value, after.Behind()));
            }
        }

        return Automaton.Either([.. parts]);
    }

    private bool CanAddExtra()
    {
        if (shape.Extras.Count == 0 || !HasRoom(_missing))
            return false;
        return shape.Limits.IsAnyOrder || (_missing.IsZero && named + 1 >= shape.Limits.Least);
    }

    private bool CanAdd(int member)
    {
        if (!shape.Limits.IsAnyOrder && (member <= last || (!_missing.IsZero && BigInteger.TrailingZeroCount(_missing) < member)))
            return false;
        BigInteger bit = BigInteger.One << member;
        if (!(seen & bit).IsZero || shape.IsForbidden(member))
            return false;
        BigInteger needs = shape.Needs[member] & ~seen;
        if (!shape.Limits.IsAnyOrder)
        {
            if (!(needs & (bit - 1)).IsZero)
                return false;
            int left = shape.Extras.Count > 0 ? 1 : 0;
            for (int i = member + 1; i < shape.Members.Count && named + 1 + left < shape.Limits.Least; i++)
                left += shape.IsForbidden(i) ? 0 : 1;
            if (named + 1 + left < shape.Limits.Least)
                return false;
        }

        for (int i = 0; i < shape.Members.Count && !needs.IsZero; i++)
        {
            if (!(needs >> i).IsEven && shape.IsForbidden(i))
                return false;
        }

        return HasRoom((_missing | needs) & ~bit);
    }

    // For one more member, and all that must come behind it.
    private bool HasRoom(BigInteger missing)
    {
        if (shape.Limits.Most == Language.Unlimited)
            return true;
        int needed = named + extras + 1;
        for (BigInteger rest = missing; !rest.IsZero; rest >>= 1)
            needed += rest.IsEven ? 0 : 1;
        return needed <= shape.Limits.Most;
    }
}
