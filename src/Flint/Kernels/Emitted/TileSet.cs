using Flint.Formats;
using Flint.Memory;

namespace Flint.Kernels;

/// <summary>Emitted tiles of every coded format, for 1 to <see cref="Groups"/> groups of rows and 1 to <see cref="TokensOf(int)"/> tokens.</summary>
internal sealed unsafe class TileSet : IDisposable
{
    private const int BestGroups = 2, BestTokens = 6; // on a Zen 4, whole prompts: see PERF.md
    private const int EntryAlignment = 64; // one cache line

    private static readonly (TileSet? Tiles, string? Refusal) Emitted = EmitForThisMachine();

    private readonly ExecutableMemory _memory;
    private readonly Dictionary<WeightType, nint[]> _entries; // [asks][group][MaxTokens]

    private TileSet(int groups, int tokens, ExecutableMemory memory, Dictionary<WeightType, nint[]> entries)
    {
        Groups = groups;
        Tokens = tokens;
        _memory = memory;
        _entries = entries;
    }

    /// <summary>The tiles that this process computes with, emitted when first asked for; null where there are none.</summary>
    public static TileSet? OfThisMachine => Emitted.Tiles;

    /// <summary>Why there are none, as a clause for a person; null where there are.</summary>
    public static string? Refusal => Emitted.Refusal;

    /// <summary>The most groups of 16 rows in a tile.</summary>
    public int Groups { get; }

    /// <summary>The most tokens in a tile of several groups.</summary>
    public int Tokens { get; }

    public byte* Code => _memory.Pointer;

    public int CodeBytes => _memory.Length;

    /// <summary>Emits tiles up to a shape that fits (<see cref="TileCode.Fits"/>). They run where <see cref="Isa.HasVnni512"/> says so.</summary>
    public static TileSet? TryEmit(int groups, int tokens, out string? refusal)
    {
        if (!TileCode.Fits(groups, tokens)) throw new ArgumentOutOfRangeException(nameof(tokens), $"A tile of {groups} groups × {tokens} tokens has no registers.");
        var code = new Assembler();
        var starts = new Dictionary<TileShape, int>();
        var entries = new Dictionary<WeightType, nint[]>();
        Add<PackedQ8_0>();
        Add<PackedQ4_0>();
        Add<PackedQ4_1>();
        Add<PackedQ5_0>();
        Add<PackedQ5_1>();
        Add<PackedQ4_K>();
        Add<PackedQ5_K>();
        Add<PackedQ6_K>();
        ExecutableMemory? memory = ExecutableMemory.TryCreate(code.Code, out refusal);
        if (memory is null) return null;
        foreach (nint[] tiles in entries.Values)
        {
            for (int i = 0; i < tiles.Length; i++) tiles[i] = tiles[i] == 0 ? 0 : (nint)memory.Pointer + tiles[i] - 1;
        }

        return new TileSet(groups, tokens, memory, entries);

        void Add<TFormat>()
            where TFormat : struct, IPackedCodes
        {
            var tiles = new nint[2 * groups * TileCode.MaxTokens];
            for (int i = 0; i < tiles.Length; i++)
            {
                int group = i / TileCode.MaxTokens % groups + 1, token = i % TileCode.MaxTokens + 1;
                if (token > TokensOf(group, tokens)) continue;
                var shape = TileShape.Of<TFormat>(group, token, asks: i >= tiles.Length / 2);
                if (!starts.TryGetValue(shape, out int start)) // formats of the same traits share their tiles
                {
                    code.Align(EntryAlignment);
                    starts[shape] = start = code.Position;
                    TileCode.Emit(shape, code);
                }

                tiles[i] = start + 1; // 0 stands for no tile
            }

            entries.Add(TFormat.Type, tiles);
        }
    }

    /// <summary>The most tokens in a tile of so many groups: a single group leaves registers for <see cref="TileCode.MaxTokens"/>.</summary>
    public int TokensOf(int groups) => TokensOf(groups, Tokens);

    /// <summary>Entry points for a format and so many groups: [tokens − 1].</summary>
    /// <param name="type">The format.</param>
    /// <param name="groups">1 to <see cref="Groups"/>.</param>
    /// <param name="asks">Those that ask ahead for weights.</param>
    public ReadOnlySpan<nint> Entries(WeightType type, int groups, bool asks) =>
        _entries[type].AsSpan(((asks ? Groups : 0) + groups - 1) * TileCode.MaxTokens, TokensOf(groups));

    /// <summary>Unmaps the code.</summary>
    public void Dispose() => _memory.Dispose();

    private static int TokensOf(int groups, int tokens) => groups == 1 ? TileCode.MaxTokens : tokens;

    private static (TileSet? Tiles, string? Refusal) EmitForThisMachine()
    {
        if (!Isa.HasVnni512) return (null, "the processor has no AVX512-VNNI");
        if (!Isa.AllowsEmission) return (null, $"VNNI is unused: {Isa.EmissionVariable} is 0");
        TileSet? tiles = TryEmit(BestGroups, BestTokens, out string? refusal);
        return (tiles, refusal is null ? null : $"VNNI is unused: {refusal}");
    }
}
