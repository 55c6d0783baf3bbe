using Flint.Kernels;
using Flint.Memory;
using Xunit;

namespace Flint.Tests.Kernels;

/// <summary>Attention over pages: bodies with room for eight queries at once give the bits that one query at a time gives, and those follow the definition.</summary>
public sealed unsafe class AttentionTests
{
    [Theory]
    [InlineData(64, 64, 4, 16, 100, 0, 0f, KvFormat.F16)]
    [InlineData(64, 64, 4, 1, 70, 0, 0f, KvFormat.F16)]
    [InlineData(64, 64, 8, 3, 97, 0, 0f, KvFormat.F32)]
    [InlineData(128, 32, 3, 7, 130, 0, 0f, KvFormat.Q8)]
    [InlineData(32, 96, 1, 16, 65, 0, 0f, KvFormat.F16)]
    [InlineData(48, 80, 4, 9, 66, 0, 0f, KvFormat.F16)]
    [InlineData(40, 20, 4, 9, 66, 0, 0f, KvFormat.F32)]
    [InlineData(64, 64, 4, 16, 200, 40, 0f, KvFormat.F16)]
    [InlineData(64, 64, 6, 10, 96, 0, 15f, KvFormat.F16)]
    public void EveryBodyGivesTheSameBits(int head, int value, int group, int rows, int tokens, int window, float cap, KvFormat format)
    {
        using var pages = new Pages(head, value, group, rows, tokens, window, cap, format);
        float[] one = pages.Run<LanesScalar>(1), all = pages.Run<LanesScalar>(rows);
        Assert.Equal(Bits(one), Bits(all));
        if (Flint.Kernels.Isa.IsSupported(LaneBody.Avx2)) Assert.Equal(Bits(one), Bits(pages.Run<Lanes256>(rows)));
        if (Flint.Kernels.Isa.IsSupported(LaneBody.Avx512))
        {
            Assert.Equal(Bits(one), Bits(pages.Run<Lanes512>(rows)));
            Assert.Equal(Bits(one), Bits(pages.Run<Lanes512>(1)));
        }

        if (format == KvFormat.F32)
        {
            double[] expected = pages.Definition();
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], one[i], 2e-5);
        }
    }

    private static int[] Bits(float[] values) => Array.ConvertAll(values, BitConverter.SingleToInt32Bits);

    /// <summary>The last rows of a document, whose pages lie in the pool in no order, with garbage in the slots behind its end.</summary>
    private sealed class Pages : IDisposable
    {
        private readonly NativeBuffer _pool;
        private readonly NativeBuffer _scratch;
        private readonly float[] _queries;
        private readonly float[] _keys;
        private readonly float[] _values;
        private readonly int[] _pages;
        private readonly int _first;
        private readonly int _tokens;
        private readonly AttentionItem _shape;

        public Pages(int head, int value, int group, int rows, int tokens, int window, float cap, KvFormat format)
        {
            var random = new Random(head + value + rows + tokens);
            _tokens = tokens;
            _first = tokens - rows;
            _queries = Fill(random, rows * group * head);
            _keys = Fill(random, tokens * head);
            _values = Fill(random, tokens * value);
            int count = (tokens + KvPages.Tokens - 1) / KvPages.Tokens;
            _pages = [.. Enumerable.Range(0, count)];
            random.Shuffle(_pages);
            long keyBytes = KvPages.Bytes(format, head), stride = keyBytes + KvPages.Bytes(format, value);
            _pool = new NativeBuffer(stride * count, zeroed: true, hugePages: false);
            _scratch = new NativeBuffer(Attention.ScratchBytes(head, value), zeroed: false, hugePages: false);
            new Span<byte>(_pool.Pointer + stride * _pages[^1], (int)stride).Fill(0xff);
            for (int t = 0; t < tokens; t++)
            {
                byte* page = _pool.Pointer + stride * _pages[t / KvPages.Tokens];
                fixed (float* key = &_keys[t * head], v = &_values[t * value])
                {
                    KvPages.PutKey(format, key, head, page, t % KvPages.Tokens);
                    KvPages.PutValue(format, v, value, page + keyBytes, t % KvPages.Tokens);
                }
            }

            _shape = new AttentionItem
            {
                PagesPerSequence = count,
                Format = format,
                Keys = _pool.Pointer,
                Values = _pool.Pointer + keyBytes,
                PageStride = stride,
                QueryStride = group * head,
                OutputStride = group * value,
                Group = group,
                HeadLength = head,
                ValueLength = value,
                Window = window,
                Scale = 0.3f,
                Cap = cap,
            };
        }

        /// <summary>Outputs [row][head][dim], so many rows an item.</summary>
        public float[] Run<TLanes>(int rowsPerItem)
            where TLanes : struct, ILanes<TLanes>
        {
            int rows = _tokens - _first;
            float[] outputs = new float[rows * _shape.OutputStride];
            int[] list = [.. Enumerable.Range(0, rows)], positions = [.. Enumerable.Range(_first, rows)], sequences = new int[rows];
            fixed (float* queries = _queries, y = outputs)
            fixed (int* numbers = list, at = positions, sequence = sequences, pages = _pages)
            {
                int most = Math.Min(rowsPerItem, Attention.RowsPerItem(_shape.Group));
                for (int row = 0; row < rows; row += most)
                {
                    AttentionItem item = _shape;
                    item.Rows = numbers + row;
                    item.RowCount = Math.Min(most, rows - row);
                    item.Positions = at;
                    item.RowSequences = sequence;
                    item.Pages = pages;
                    item.Queries = queries;
                    item.Outputs = y;
                    Attention.Run<TLanes>(item, (float*)_scratch.Pointer);
                }
            }

            return outputs;
        }

        public double[] Definition()
        {
            int rows = _tokens - _first, head = _shape.HeadLength, length = _shape.ValueLength;
            double[] y = new double[rows * _shape.Group * length];
            for (int query = 0; query < rows * _shape.Group; query++)
            {
                int position = _first + query / _shape.Group, from = _shape.Window == 0 ? 0 : Math.Max(0, position + 1 - _shape.Window);
                double total = 0;
                for (int t = from; t <= position; t++)
                {
                    double score = 0;
                    for (int d = 0; d < head; d++) score += (double)_queries[query * head + d] * _keys[t * head + d];
                    double weight = Math.Exp(score * _shape.Scale);
                    total += weight;
                    for (int d = 0; d < length; d++) y[query * length + d] += weight * _values[t * length + d];
                }

                for (int d = 0; d < length; d++) y[query * length + d] /= total;
            }

            return y;
        }

        public void Dispose()
        {
            _pool.Dispose();
            _scratch.Dispose();
        }

        private static float[] Fill(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() * 2 - 1)];
    }
}
