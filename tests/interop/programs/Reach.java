// Reach everything by Java: its threads, its selectors, its datagrams.
import java.io.IOException;
import java.net.ConnectException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.URL;
import java.net.URLConnection;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;

public class Reach {
    static String echo(DatagramSocket socket, InetAddress to) throws IOException {
        socket.setSoTimeout(20000);
        byte[] text = "hello".getBytes();
        socket.send(new DatagramPacket(text, text.length, to, 7007));
        DatagramPacket came = new DatagramPacket(new byte[100], 100);
        socket.receive(came);
        return new String(came.getData(), 0, came.getLength()) + " " + came.getPort();
    }

    // What would go past the gateway.
    static void past() throws IOException {
        try (Socket none = new Socket("10.9.9.1", 8081)) {
            System.out.println("reached");
        } catch (SocketException e) {
            System.out.println("direct " + e.getMessage());
        }
        try (DatagramSocket socket = new DatagramSocket()) {
            socket.setSoTimeout(500);
            InetAddress to = InetAddress.getByName("10.9.9.1");
            socket.send(new DatagramPacket(new byte[5], 5, to, 5353));
            socket.receive(new DatagramPacket(new byte[100], 100));
            System.out.println("answered");
        } catch (SocketTimeoutException e) {
            System.out.println("datagram nothing");
        }
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 0) {
            past();
            return;
        }
        HttpRequest asked = HttpRequest.newBuilder(URI.create("http://page.example:8080/"))
            .version(HttpClient.Version.HTTP_1_1).build();
        System.out.println("page " + HttpClient.newHttpClient()
            .send(asked, HttpResponse.BodyHandlers.ofString()).body());
        URLConnection timed = new URL("http://slow-java.example:8080/").openConnection();
        timed.setConnectTimeout(20000);
        System.out.println("slow " + new String(timed.getInputStream().readAllBytes()));
        try (Socket plain = new Socket("page.example", 2525)) {
            String text = new String(plain.getInputStream().readAllBytes());
            System.out.println("greeting " + text + " " + plain.getRemoteSocketAddress());
        }
        try (Socket none = new Socket("10.5.5.1", 81)) {
            System.out.println("not refused");
        } catch (ConnectException e) {
            System.out.println("refused " + e.getMessage());
        }
        try (Selector selector = Selector.open(); SocketChannel channel = SocketChannel.open()) {
            channel.configureBlocking(false);
            SelectionKey key = channel.register(selector, SelectionKey.OP_CONNECT);
            boolean connected = channel.connect(new InetSocketAddress("page.example", 2525));
            while (!connected) {
                selector.select(20000);
                selector.selectedKeys().clear();
                connected = channel.finishConnect();
            }
            key.interestOps(SelectionKey.OP_READ);
            ByteBuffer octets = ByteBuffer.allocate(100);
            while (channel.read(octets) == 0) {
                selector.select(20000);
                selector.selectedKeys().clear();
            }
            System.out.println("selected " + new String(octets.array(), 0, octets.position()));
        }
        try (DatagramSocket free = new DatagramSocket()) {
            System.out.println("free " + echo(free, InetAddress.getByName("page.example")));
        }
        try (DatagramSocket connected = new DatagramSocket()) {
            InetAddress to = InetAddress.getByName("fd00:5::1");
            connected.connect(to, 7007);
            System.out.println("connected " + echo(connected, to));
        }
    }
}
