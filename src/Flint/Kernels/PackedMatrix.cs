using System.Runtime.CompilerServices;
using Flint.Formats;
using Flint.Memory;

namespace Flint.Kernels;

/// <summary>A weight matrix laid out once for the kernels: groups of 16 rows, each a forward stream over all columns.</summary>
internal sealed unsafe class PackedMatrix : IDisposable
{
    /// <summary>Rows of a group: one per lane.</summary>
    public const int GroupRows = 16;

    /// <summary>The number of the packed formats' layout. Whoever changes what <see cref="Pack"/> writes counts it up: copies in files are of one layout.</summary>
    public const int Layout = 1;

    private readonly NativeBuffer? _buffer;

    private PackedMatrix(WeightType type, int rows, int columns, byte* data)
    {
        Type = type;
        Rows = rows;
        Columns = columns;
        GroupBytes = BytesOfGroup(type, columns);
        _buffer = data == null ? new NativeBuffer(Bytes, zeroed: true, hugePages: true) : null;
        Data = data == null ? _buffer!.Pointer : data;
    }

    public WeightType Type { get; }

    /// <summary>Outputs.</summary>
    public int Rows { get; }

    /// <summary>Inputs.</summary>
    public int Columns { get; }

    public int Groups => (Rows + GroupRows - 1) / GroupRows;

    public long GroupBytes { get; }

    public byte* Data { get; }

    public long Bytes => GroupBytes * Groups;

    /// <summary>Whether the kernels read 8-bit activations for it.</summary>
    public bool IsCoded => IsCodedType(Type);

    /// <summary>Bytes that a matrix takes once packed.</summary>
    public static long PackedBytes(WeightType type, long rows, long columns) =>
        (rows + GroupRows - 1) / GroupRows * BytesOfGroup(type, columns);

    /// <summary>Packs a matrix of the file, [rows][columns] in file order.</summary>
    /// <param name="team">Who packs; each thread its own groups.</param>
    /// <param name="type">A supported format; columns are a multiple of its block.</param>
    /// <param name="source">The first row.</param>
    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs.</param>
    public static PackedMatrix Pack(Team team, WeightType type, byte* source, int rows, int columns)
    {
        var matrix = new PackedMatrix(type, rows, columns, null);
        var job = new PackJob
        {
            Type = type,
            Source = source,
            RowBytes = WeightTypes.RowBytes(type, columns),
            Rows = rows,
            Columns = columns,
            GroupBytes = matrix.GroupBytes,
            Target = matrix.Data,
        };
        try
        {
            team.Run(&PackPart, &job);
        }
        catch (FlintException e) when (e.InnerException is FlintException { Side: FaultSide.ModelFile } cause)
        {
            matrix.Dispose();
            throw cause;
        }
        catch
        {
            matrix.Dispose();
            throw;
        }

        return matrix;
    }

    /// <summary>A matrix that is packed already, in memory that stays its owner's.</summary>
    public static PackedMatrix Over(WeightType type, byte* data, int rows, int columns) => new(type, rows, columns, data);

    public void Dispose() => _buffer?.Dispose();

    private static bool IsCodedType(WeightType type) => type is not (WeightType.F32 or WeightType.F16 or WeightType.BF16);

    private static long BytesOfGroup(WeightType type, long columns) => type switch
    {
        WeightType.F32 => columns * GroupRows * PackedF32.ElementBytes,
        WeightType.F16 => columns * GroupRows * PackedF16.ElementBytes,
        WeightType.BF16 => columns * GroupRows * PackedBF16.ElementBytes,
        WeightType.Q8_0 => Units<PackedQ8_0>(columns),
        WeightType.Q4_0 => Units<PackedQ4_0>(columns),
        WeightType.Q4_1 => Units<PackedQ4_1>(columns),
        WeightType.Q5_0 => Units<PackedQ5_0>(columns),
        WeightType.Q5_1 => Units<PackedQ5_1>(columns),
        WeightType.Q4_K => Units<PackedQ4_K>(columns),
        WeightType.Q5_K => Units<PackedQ5_K>(columns),
        WeightType.Q6_K => Units<PackedQ6_K>(columns),
        _ => throw FlintException.File("unsupported_weight_type", $"Weights in {WeightTypes.Name(type)} cannot be computed with."),
    };

    private static long Units<TFormat>(long columns)
        where TFormat : struct, IPackedCodes => columns / TFormat.UnitLength * TFormat.UnitBytes;

    private static void PackPart(void* work, int part, int parts)
    {
        var job = (PackJob*)work;
        Team.Split(job->Rows, GroupRows, part, parts, out int from, out int to);
        for (int row = from; row < to; row += GroupRows)
        {
            int rows = Math.Min(GroupRows, job->Rows - row);
            byte* source = job->Source + row * job->RowBytes;
            byte* target = job->Target + row / GroupRows * job->GroupBytes;
            switch (job->Type)
            {
                case WeightType.F32: PackFloats<PackedF32>(job, source, rows, target); break;
                case WeightType.F16: PackFloats<PackedF16>(job, source, rows, target); break;
                case WeightType.BF16: PackFloats<PackedBF16>(job, source, rows, target); break;
                case WeightType.Q8_0: PackCodes<PackedQ8_0>(job, source, rows, target); break;
                case WeightType.Q4_0: PackCodes<PackedQ4_0>(job, source, rows, target); break;
                case WeightType.Q4_1: PackCodes<PackedQ4_1>(job, source, rows, target); break;
                case WeightType.Q5_0: PackCodes<PackedQ5_0>(job, source, rows, target); break;
                case WeightType.Q5_1: PackCodes<PackedQ5_1>(job, source, rows, target); break;
                case WeightType.Q4_K: PackCodes<PackedQ4_K>(job, source, rows, target); break;
                case WeightType.Q5_K: PackCodes<PackedQ5_K>(job, source, rows, target); break;
                default: PackCodes<PackedQ6_K>(job, source, rows, target); break;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackCodes<TFormat>(PackJob* job, byte* source, int rows, byte* target)
        where TFormat : struct, IPackedCodes
    {
        int units = job->Columns / TFormat.UnitLength;
        long unitSourceBytes = job->RowBytes / units;
        for (int unit = 0; unit < units; unit++)
            TFormat.Pack(source + unit * unitSourceBytes, job->RowBytes, rows, target + (long)unit * TFormat.UnitBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackFloats<TFormat>(PackJob* job, byte* source, int rows, byte* target)
        where TFormat : struct, IPackedFloats
    {
        for (int r = 0; r < rows; r++, source += job->RowBytes)
        {
            byte* element = source;
            byte* cell = target + r * TFormat.ElementBytes;
            for (int c = 0; c < job->Columns; c++, element += TFormat.ElementBytes, cell += GroupRows * TFormat.ElementBytes)
            {
                if (!TFormat.IsFinite(element)) Unpack.ThrowNotFinite();
                if (TFormat.ElementBytes == 4) *(uint*)cell = Unpack.Read(element);
                else *(ushort*)cell = *(ushort*)element;
            }
        }
    }

    private struct PackJob
    {
        public WeightType Type;
        public byte* Source;
        public long RowBytes;
        public int Rows;
        public int Columns;
        public long GroupBytes;
        public byte* Target;
    }
}
