namespace Flint.Models;

/// <summary>Cuts the rows of a batch into tiles that meet the pages of keys and values together.</summary>
internal static unsafe class AttentionTiles
{
    private const int TilesPerThread = 2; // so that threads end at about the same time

    /// <summary>
    /// Makes the work list: consecutive rows of a prompt, and single rows of sequences that go on from one first page, which
    /// therefore read the same pages for as long as they share them.
    /// </summary>
    /// <param name="batch">The batch.</param>
    /// <param name="s">Has the batch's pages, and gets the list.</param>
    /// <param name="most">The most rows of a tile.</param>
    /// <param name="threads">Threads to share the tiles' heads among.</param>
    public static void Make(Batch batch, ForwardState* s, int most, int threads)
    {
        s->Tiles = 0;
        int rows = 0;
        for (int i = 0; i < batch.Sequences; i++)
        {
            int first = batch.FirstRow(i), count = batch.RowCount(i);
            for (int row = 0; row < count && count > 1; row++)
            {
                if (row % most == 0) s->TileStarts[s->Tiles++] = rows;
                s->TileRows[rows++] = first + row;
            }
        }

        int end = rows;
        for (int i = 0; i < batch.Sequences; i++)
        {
            if (batch.RowCount(i) == 1) s->TileRows[end++] = i; // the sequence, until it is placed
        }

        // Fewer rows a tile where the heads of few tiles could not keep all threads busy.
        int together = Math.Clamp((end - rows) * s->KvHeads / (TilesPerThread * threads), 1, most);
        while (rows < end)
        {
            s->TileStarts[s->Tiles++] = rows;
            int page = FirstPage(s, s->TileRows[rows]), full = Math.Min(end, rows + together);
            for (int i = rows; i < end && rows < full; i++)
            {
                int sequence = s->TileRows[i];
                if (FirstPage(s, sequence) != page) continue;
                s->TileRows[i] = s->TileRows[rows];
                s->TileRows[rows++] = batch.FirstRow(sequence);
            }
        }

        s->TileStarts[s->Tiles] = rows;
    }

    private static int FirstPage(ForwardState* s, int sequence) => s->Pages[(long)sequence * s->PagesPerSequence];
}
