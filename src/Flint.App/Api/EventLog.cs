namespace Flint.App.Api;

/// <summary>
/// The events of an answer that goes on without a client, for those who come to hear it. One writes, any number read; what is read
/// ends with a whole event, as what is written is flushed after whole events.
/// </summary>
/// <param name="capacity">Most bytes kept; what comes after is dropped, and <see cref="IsCut"/> tells.</param>
internal sealed class EventLog(int capacity) : Stream
{
    private readonly Lock _gate = new();
    private readonly MemoryStream _bytes = new();
    private TaskCompletionSource _news = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _whole; // bytes that end with a whole event
    private bool _isComplete;

    /// <summary>Whether events were dropped.</summary>
    public bool IsCut { get; private set; }

    /// <inheritdoc/>
    public override bool CanRead => false;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>What comes after a position, once there is something; empty after the last.</summary>
    public async ValueTask<byte[]> ReadAfterAsync(int position, CancellationToken cancellation)
    {
        while (true)
        {
            Task news;
            lock (_gate)
            {
                if (position < _whole)
                    return _bytes.GetBuffer()[position.._whole];
                if (_isComplete)
                    return [];
                news = _news.Task;
            }

            await news.WaitAsync(cancellation);
        }
    }

    /// <summary>Takes note that nothing more will be written.</summary>
    public void Complete()
    {
        lock (_gate)
        {
            _isComplete = true;
            Announce();
        }
    }

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        lock (_gate)
        {
            IsCut |= _bytes.Length + buffer.Length > capacity;
            if (!IsCut)
                _bytes.Write(buffer);
        }
    }

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Write(buffer.Span);
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override void Flush()
    {
        lock (_gate)
        {
            if (IsCut)
                return;
            _whole = (int)_bytes.Length;
            Announce();
        }
    }

    /// <inheritdoc/>
    public override Task FlushAsync(CancellationToken cancellationToken)
    {
        Flush();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    private void Announce()
    {
        TaskCompletionSource told = _news;
        _news = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        told.SetResult();
    }
}
