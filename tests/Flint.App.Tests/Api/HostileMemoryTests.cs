using System.Net;
using Flint.App.Api;
using Flint.App.Tests.Upstreams;

namespace Flint.App.Tests.Api;

/// <summary>Bodies that are huge, or many, and streams that stand still: memory stays bounded, and others are answered meanwhile.</summary>
[Collection(nameof(SoakTests.Alone))]
public sealed class HostileMemoryTests(ITestOutputHelper output)
{
    private const int Idle = 1000;

    // What the server, the client and the upstream of one idle stream hold, who are all in this process.
    private const long HeapOfStreamAllowed = 256 * 1024;

    [Fact]
    public async Task A_hundred_megabytes_are_refused_before_they_are_read()
    {
        const long size = 100_000_000, slack = 16 << 20; // what the buffers of both sockets, and of the server's connection, may hold
        foreach (bool isMuse in (bool[])[false, true])
        {
            await using TestServer server = await TestServer.StartAsync(muse: isMuse);
            string[] routes = isMuse ? PromptRoutes.Muse : [.. PromptRoutes.Bodies.Keys];
            await Task.WhenAll(routes.Select(route => server.AnswerAsync(route, PromptRoutes.Bodies[route]))); // warms up
            long heap = SoakTests.Settled();
            using var stop = new CancellationTokenSource();
            Task<int> others = OthersAsync(server, routes, stop.Token);
            await Task.WhenAll(routes.Select(route => Task.Run(async () =>
            {
                using RawClient told = await RawClient.ConnectAsync(server.Address);
                await told.SendAsync(RawClient.Sized(route, server.Secret, size));
                PromptRoutes.AssertAnswer(route, 413, await told.ReadAsync());

                using RawClient untold = await RawClient.ConnectAsync(server.Address);
                await untold.SendAsync(RawClient.Head(route, server.Secret, "Transfer-Encoding: chunked"));
                Task<RawClient.Answer> answer = untold.ReadAsync();
                long sent = await FloodAsync(untold, size, answer);
                Assert.InRange(sent, ApiLimits.MaxBodyBytes, ApiLimits.MaxBodyBytes + slack);
                if ((await answer).Status != 0)
                    PromptRoutes.AssertAnswer(route, 413, await answer);
            })));
            await stop.CancelAsync();
            Assert.True(await others > 0);
            await PromptRoutes.QuietAsync(server);
            long grown = SoakTests.Settled() - heap;
            output.WriteLine($"{routes.Length} floods at once, heap grown by {grown >> 10} KiB");
            Assert.True(grown < ApiLimits.MaxBodiesBytes + slack, $"the managed heap grew by {grown} bytes");
            Assert.Equal(2 * routes.Length, server.Records().Count(record => record.Status == 413));
        }
    }

    [Fact]
    public async Task Bodies_that_are_being_read_have_a_limit_together()
    {
        await using TestServer server = await TestServer.StartAsync();
        var held = new List<RawClient>();
        try
        {
            // One byte of each is missing, so that none is refused and none read.
            int count = (int)(ApiLimits.MaxBodiesBytes / ApiLimits.MaxBodyBytes);
            byte[] most = new byte[ApiLimits.MaxBodyBytes - 1];
            for (int i = 0; i < count; i++)
            {
                RawClient client = await RawClient.ConnectAsync(server.Address);
                held.Add(client);
                await client.SendAsync(RawClient.Sized("/v1/completions", server.Secret, ApiLimits.MaxBodyBytes));
                await client.SendAsync(most);
            }

            string large = PromptRoutes.Bodies["/v1/completions"][..^1] + ", \"padding\": \"" + new string('x', ApiLimits.SmallBodyBytes) + "\"}";
            string small = PromptRoutes.Bodies["/v1/completions"][..^1] + ", \"padding\": \"" + new string('x', ApiLimits.SmallBodyBytes - PromptRoutes.Bodies["/v1/completions"].Length - 15) + "\"}";
            Assert.Equal(ApiLimits.SmallBodyBytes, small.Length);
            await UntilReadAsync(server, (long)count * most.Length);
            foreach (string route in PromptRoutes.Bodies.Keys)
            {
                using HttpResponseMessage response = await server.PostAsync(route, PromptRoutes.Bodies[route][..^1] + large[large.IndexOf(", \"padding", StringComparison.Ordinal)..]);
                Assert.Equal((HttpStatusCode.ServiceUnavailable, "1", true), (response.StatusCode, Assert.Single(response.Headers.GetValues("Retry-After")), response.Headers.ConnectionClose));
                PromptRoutes.AssertError(route, await response.Content.ReadAsStringAsync());
            }

            await server.AnswerAsync("/v1/completions", small);
            held[0].Reset();
            await UntilReadAsync(server, (long)(count - 1) * most.Length);
            await server.AnswerAsync("/v1/completions", large);
        }
        finally
        {
            held.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task A_thousand_idle_streams_hold_up_nobody()
    {
        await using FakeUpstream upstream = await FakeUpstream.StartAsync(async (context, _) =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Text("Hello")]);
            await FakeUpstream.StallAsync(context);
        });
        await using TestServer server = await TestServer.StartAsync(upstreams: FakeUpstream.Serve(
            null, plain => plain with { ChunkTimeout = TimeSpan.FromHours(1) }, upstream.Target() with { Concurrency = Idle }));
        long heap = SoakTests.Settled();
        string[] routes = [ChatDialects.ChatRoute, ChatDialects.ResponseRoute, ChatDialects.MessageRoute, ChatDialects.OllamaRoute];
        RawClient[] idle = await Task.WhenAll(Enumerable.Range(0, Idle).Select(async i =>
        {
            string route = routes[i % routes.Length], body = ChatDialects.Body(route, "big", stream: true);
            RawClient client = await RawClient.ConnectAsync(server.Address);
            await client.SendAsync(RawClient.Sized(route, server.Secret, body.Length) + body);
            await client.BeginAsync();
            return client;
        }));
        foreach (string route in PromptRoutes.Bodies.Keys)
            await server.AnswerAsync(route, PromptRoutes.Bodies[route]);
        Assert.Equal((Idle, 0), (upstream.Bodies.Count, upstream.Aborted));
        long each = (SoakTests.Settled() - heap) / Idle;
        output.WriteLine($"{Idle} idle streams, each holds {each} bytes of the heap");
        Assert.True(each < HeapOfStreamAllowed, $"an idle stream holds {each} bytes");

        foreach (RawClient client in idle)
            client.Dispose();
        await TestServer.UntilAsync(() => upstream.Aborted == Idle);
        await PromptRoutes.QuietAsync(server);
        Assert.Equal(Idle, server.Records().Count(record => record.Status == 499));
    }

    private static async Task UntilReadAsync(TestServer server, long bytes)
    {
        using HttpClient probe = server.NewClient();
        while (!(await probe.GetStringAsync("/metrics")).Contains($"\nflint_request_body_bytes {bytes}\n", StringComparison.Ordinal))
            await Task.Delay(5, TestContext.Current.CancellationToken);
    }

    // Sends chunks until an answer comes, the connection is closed, or all is sent.
    private static async Task<long> FloodAsync(RawClient client, long size, Task<RawClient.Answer> answer)
    {
        byte[] chunk = [.. "10000\r\n"u8, .. Enumerable.Repeat((byte)' ', 0x10000), .. "\r\n"u8];
        long sent = 0;
        try
        {
            for (; sent < size && !answer.IsCompleted; sent += 0x10000)
                await client.SendAsync(chunk);
        }
        catch (IOException)
        {
            // It is closed.
        }

        return sent;
    }

    // Other clients, each of which must be answered.
    private static async Task<int> OthersAsync(TestServer server, string[] routes, CancellationToken stop)
    {
        int answered = 0;
        do
        {
            string route = routes[answered++ % routes.Length];
            await server.AnswerAsync(route, PromptRoutes.Bodies[route]);
        }
        while (!stop.IsCancellationRequested);
        return answered;
    }
}
