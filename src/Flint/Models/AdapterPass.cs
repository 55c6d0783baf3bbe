using Flint.Kernels;
using Flint.Memory;

namespace Flint.Models;

/// <summary>
/// What the adapters of a batch add after each frozen product. Rows of one adapter that stand together are a run; a product of a
/// run is one item of work. Memory is sized when an adapter is loaded; a step allocates nothing.
/// </summary>
internal sealed unsafe class AdapterPass : IDisposable
{
    private readonly List<ModelAdapter> _adapters = [];
    private readonly RowRun[] _runs;
    private int _runCount;
    private NativeBuffer? _items;
    private NativeBuffer? _low;
    private int _itemCount;
    private float* _nextLow;

    public AdapterPass(int maxRuns) => _runs = new RowRun[maxRuns];

    /// <summary>Takes in an adapter and makes room for its products.</summary>
    public void Add(ModelAdapter adapter, int maxRows)
    {
        _adapters.Add(adapter);
        _items ??= new NativeBuffer((long)_runs.Length * GemmJob.MaxProducts * sizeof(LowRankItem));
        long needed = (long)maxRows * GemmJob.MaxProducts * adapter.MaxRank * sizeof(float);
        if (_low is not null && _low.Length >= needed) return;
        _low?.Dispose();
        _low = new NativeBuffer(needed);
    }

    /// <summary>Finds the runs among all rows of a batch.</summary>
    public void Begin(Model model, Batch batch)
    {
        _runCount = 0;
        _itemCount = 0;
        for (int i = 0; i < batch.Sequences; i++)
        {
            if (batch.Adapter(i) is not { } adapter) continue;
            if (adapter.Model != model)
                throw new FlintException(FaultSide.Bug, "adapter_model", "A sequence names an adapter that another model has loaded.");
            AddRun(adapter, batch.FirstRow(i), batch.RowCount(i));
        }
    }

    /// <summary>Finds the runs among the rows that want something, which have moved to the front.</summary>
    public void KeepOutputRows(Batch batch)
    {
        if (_runCount == 0) return;
        _runCount = 0;
        ReadOnlySpan<int> kept = batch.OutputRowIndices;
        for (int row = 0; row < kept.Length; row++)
        {
            if (batch.Adapter(batch.RowSequences[kept[row]]) is { } adapter) AddRun(adapter, row, 1);
        }
    }

    /// <summary>Goes on with so many rows, from the first.</summary>
    public void KeepFirst(int rows)
    {
        while (_runCount > 0 && _runs[_runCount - 1].First >= rows) _runCount--;
        if (_runCount == 0) return;
        ref RowRun last = ref _runs[_runCount - 1];
        last.Rows = Math.Min(last.Rows, rows - last.First);
    }

    /// <summary>Notes a product that has been computed: what adapters add to it comes with the next <see cref="Run"/>.</summary>
    public void Add(int layer, AdaptedMatrix kind, in Activations input, float* output, int outputStride)
    {
        for (int i = 0; i < _runCount; i++)
        {
            ref RowRun run = ref _runs[i];
            if (run.Adapter.Pair(layer, kind) is not { } pair) continue;
            if (_itemCount == 0) _nextLow = (float*)_low!.Pointer;
            ((LowRankItem*)_items!.Pointer)[_itemCount++] = new LowRankItem
            {
                A = (float*)pair.A.Data,
                B = (float*)pair.B.Data,
                Rank = pair.Rank,
                Columns = pair.A.Columns,
                Outputs = pair.B.Rows,
                Rows = run.Rows,
                Input = input.Values + (long)run.First * input.Stride,
                InputStride = input.Stride,
                Low = _nextLow,
                Output = output + (long)run.First * outputStride,
                OutputStride = outputStride,
            };
            _nextLow += (long)run.Rows * pair.Rank;
        }
    }

    /// <summary>Adds what has been noted.</summary>
    public void Run(Team? team, LaneBody body, byte* scratch, long scratchStride)
    {
        if (_itemCount > 0) LowRank.Run(team, (LowRankItem*)_items!.Pointer, _itemCount, body, scratch, scratchStride);
        _itemCount = 0;
    }

    public void Dispose()
    {
        foreach (ModelAdapter adapter in _adapters) adapter.Free();
        _items?.Dispose();
        _low?.Dispose();
    }

    private void AddRun(ModelAdapter adapter, int first, int rows)
    {
        if (rows == 0) return;
        if (_runCount > 0)
        {
            ref RowRun last = ref _runs[_runCount - 1];
            if (last.Adapter == adapter && last.First + last.Rows == first)
            {
                last.Rows += rows;
                return;
            }
        }

        _runs[_runCount++] = new RowRun { Adapter = adapter, First = first, Rows = rows };
    }

    private struct RowRun
    {
        public ModelAdapter Adapter;
        public int First;
        public int Rows;
    }
}
