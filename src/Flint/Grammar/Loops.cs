namespace Flint.Grammar;

/// <summary>What leads from a state back to it, so that many tokens are known at once.</summary>
internal static class Loops
{
    /// <summary>The groups of bytes (<see cref="ByteGroups"/>) that lead from a state to itself, as whole characters where they are of several bytes.</summary>
    public static ulong Of(Automaton automaton, Language state)
    {
        if (state.Loops is { } known)
            return known;
        ulong loops = 0, others = 0;
        for (int b = 0; b < 0x80; b++)
        {
            if (ReferenceEquals(automaton.Step(state, (byte)b), state))
                loops |= ByteGroups.Of((byte)b);
            else
                others |= ByteGroups.Of((byte)b);
        }

        loops &= ~others;
        if (loops != 0 && IsPassedByCharacters(automaton, state))
            loops |= ByteGroups.BeyondAscii;
        state.Loops = loops;
        return loops;
    }

    // Every character of several bytes leads back, and none of its bytes to nothing.
    private static bool IsPassedByCharacters(Automaton automaton, Language state)
    {
        var passed = new HashSet<(Language, int, int, int)>();
        for (int lead = 0xC2; lead <= 0xF4; lead++)
        {
            (int low, int high) = ByteGroups.Second((byte)lead);
            if (!Returns(automaton.Step(state, (byte)lead), low, high, ByteGroups.Length((byte)lead) - 1))
                return false;
        }

        return true;

        bool Returns(Language inside, int low, int high, int left)
        {
            if (!passed.Add((inside, low, high, left)))
                return true;
            for (int b = low; b <= high; b++)
            {
                Language next = automaton.Step(inside, (byte)b);
                if (next.Kind == LanguageKind.Nothing || (left == 1 ? !ReferenceEquals(next, state) : !Returns(next, 0x80, 0xBF, left - 1)))
                    return false;
            }

            return true;
        }
    }
}
